"""A device's environment: our wheel, numpy, tokenizers and one engine, installed from the index as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from edgebert.exporting import export_artifact
from edgebert.teacher import Teacher

ROOT = Path(__file__).parents[2]
EXTRAS = {"onnx": "onnx", "openvino": "openvino", "tflite": "tflite"}

CODE = """
import json, sys, time
start = time.perf_counter()
import edgebert
took = time.perf_counter() - start
model = edgebert.load(sys.argv[1])
answers = [p.to_json() for p in model.predict(json.loads(sys.argv[2]))]
print(json.dumps({"took": took, "answers": answers, "torch": "torch" in sys.modules, "from": edgebert.__file__}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("format", list(EXTRAS))
def test_each_artifact_predicts_without_torch(
    format: str, teacher: Teacher, records: list[dict[str, str]], wheel: Path, tmp_path: Path
) -> None:
    calibration = tmp_path / "calibration.jsonl"
    calibration.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    artifact = export_artifact(
        teacher.path, task="text-classification", format=format, precision="int8", lengths=(16, 32),
        calibration=calibration, target=tmp_path / "artifact", log=tmp_path / "log",
    )  # fmt: skip
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*command, f"{wheel}[{EXTRAS[format]}]"], check=True, capture_output=True, timeout=600)
    texts = [record["text"] for record in records[:20]]
    done = subprocess.run(
        [python, "-I", "-c", CODE, str(artifact.path), json.dumps(texts)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout)
    assert not there["torch"] and str(tmp_path) in there["from"]
    here = subprocess.run(
        [sys.executable, "-c", CODE, str(artifact.path), json.dumps(texts)], capture_output=True, text=True, check=True
    )
    expected = json.loads(here.stdout)["answers"]
    assert [a["label"] for a in there["answers"]] == [a["label"] for a in expected]
    assert [a["score"] for a in there["answers"]] == pytest.approx([a["score"] for a in expected], abs=1e-4)

    # The same environment as a device of its own: `local:PYTHON` takes our code along and nothing else of ours.
    data = tmp_path / "test.jsonl"
    data.write_text(calibration.read_text("utf-8"), "utf-8")
    check = [sys.executable, "-m", "edgebert", "check", str(artifact.path), "--data", str(data), "--json"]
    checked = subprocess.run(
        [*check, "--device", f"local:{python}", "--launches", "2", "--samples", "40", "--repeats", "0"],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["device"] == f"local:{python}"
