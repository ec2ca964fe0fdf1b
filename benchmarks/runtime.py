"""edgebert against what people use instead, on the same model: one command, one table.

    python benchmarks/runtime.py build/clinc150 [--texts FILE] [--launches 5] [--samples 300] [--out FOLDER]

RUN is a run's folder (`student/`, `artifacts/onnx-int8`, `artifacts/openvino-int8`, `artifacts/tflite-int8`). Compared
are `edgebert.load(…).predict` in the three formats, the own interfaces of ONNX Runtime and OpenVINO on the same
artifacts, optimum's `ORTModelForSequenceClassification` with a tokenizer on the same ONNX artifact, and
`transformers.pipeline` on the student in FP32. Every launch is a fresh process; the ways take turns, all with one
thread. Columns: p50 of one text (text in, label out), texts a second in lists of 32 (each way's own batching), import
time, cold start (process start to first answer), peak RSS, and the size of all that has to be installed for it.

optimum is not among our dependencies: `optimum==2.1.0` and `optimum-onnx==0.1.0` (which want transformers < 4.58) are
installed into a folder of their own, `build/optimum`, which only their processes see.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from edgebert import artifact as artifacts
from edgebert import golden
from edgebert.devices.facts import linux_facts

ROOT = Path(__file__).parents[1]
OPTIMUM = ("optimum==2.1.0", "optimum-onnx==0.1.0")
PROBE = Path(__file__).with_name("runtime_probe.py")
QUIET = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}

#: Row -> way of the probe, model below the run's folder, what is installed for it.
ROWS = {
    "edgebert, ONNX": ("edgebert", "artifacts/onnx-int8", "edgebert[onnx]"),
    "edgebert, OpenVINO": ("edgebert", "artifacts/openvino-int8", "edgebert[openvino]"),
    "edgebert, TFLite": ("edgebert", "artifacts/tflite-int8", "edgebert[tflite]"),
    "ONNX Runtime's own interface": ("onnxruntime", "artifacts/onnx-int8", "onnxruntime tokenizers"),
    "OpenVINO's own interface": ("openvino", "artifacts/openvino-int8", "openvino tokenizers"),
    "optimum ORTModel, same ONNX": ("ORTModel", "artifacts/onnx-int8", "optimum-onnx[onnxruntime] torch"),
    "transformers.pipeline, FP32": ("pipeline", "student", "transformers torch"),
}


def optimum() -> Path:
    """Installed on first use, without touching this environment."""
    folder = ROOT / "build" / "optimum"
    if not (folder / "optimum").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *OPTIMUM]
        subprocess.run(command, check=True)
    return folder


def launch(way: str, model: Path, texts: Path, samples: int, extra: Path) -> dict[str, Any]:
    """One fresh process; what it measured, and how long its first answer took from its start."""
    environment = {**os.environ, **QUIET} | ({"PYTHONPATH": str(extra)} if way == "ORTModel" else {})
    command = [sys.executable, "-P", str(PROBE), way, str(model), str(texts), str(samples)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None and child.stderr is not None
        first = child.stdout.readline()
        cold = time.perf_counter() - start
        rest, told = child.communicate()
    if first != "first\n" or child.returncode:
        raise SystemExit(f"{way} on {model} failed:\n{first}{rest}{told}")
    return json.loads(rest.splitlines()[-1]) | {"cold_s": cold}


def installed_bytes(wanted: str, extra: Path) -> int:
    """Bytes of the named distributions and of all that they require, as installed here."""
    from packaging.requirements import Requirement

    found: dict[str, int] = {}
    open_ = [Requirement(part) for part in wanted.split()]
    while open_:
        requirement = open_.pop()
        try:
            there = next(iter(metadata.distributions(name=requirement.name, path=[*sys.path, str(extra)])))
        except StopIteration:  # an optional one that is not here
            continue
        key = f"{there.name}[{','.join(sorted(requirement.extras))}]"
        if key in found:
            continue
        first = not any(name.split("[")[0] == there.name for name in found)
        files = [Path(str(file.locate())) for file in there.files or ()]
        found[key] = sum(file.stat().st_size for file in files if file.is_file()) if first else 0
        for text in there.requires or ():
            child = Requirement(text)
            if child.marker is None or any(child.marker.evaluate({"extra": e}) for e in requirement.extras or {""}):
                open_.append(child)
    return sum(found.values())


def compare(run: Path, texts: Path, launches: int, samples: int) -> list[dict[str, Any]]:
    """A row a way, in the order of `ROWS`."""
    extra = optimum()
    taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in range(launches + 1):  # the first round warms the disk's cache, and is not counted
        for name, (way, model, _) in ROWS.items():
            found = launch(way, run / model, texts, samples if number else 5, extra)
            print(f"launch {number} of {launches}: {name}", file=sys.stderr)
            if number:
                taken[name].append(found)
    rows = []
    for name, found in taken.items():
        reference = taken["edgebert, ONNX"][0]["labels"]
        same = sum(a == b for a, b in zip(found[0]["labels"], reference, strict=True)) / len(reference)
        rows.append(
            {
                "name": name,
                "p50_ms": median(t for launch in found for t in launch["times"]) * 1e3,
                "texts_a_second": 32 / median(t for launch in found for t in launch["batches"]),
                "import_ms": median(launch["import_s"] for launch in found) * 1e3,
                "cold_ms": median(launch["cold_s"] for launch in found) * 1e3,
                "rss_mb": median(launch["rss"] for launch in found) / 1e6,
                "install_mb": installed_bytes(ROWS[name][2], extra) / 1e6,
                "same_answers": same,
            }
        )
    return rows


def markdown(rows: list[dict[str, Any]], about: dict[str, Any]) -> str:
    """The table, and what it was made on."""
    head = "| | p50, ms | texts/s in lists of 32 | import, ms | cold start, ms | peak RSS, MB | installed, MB |"
    lines = [head, "|:--|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {row['name']} | {row['p50_ms']:.3f} | {row['texts_a_second']:.0f} | {row['import_ms']:.0f} "
            f"| {row['cold_ms']:.0f} | {row['rss_mb']:.0f} | {row['install_mb']:.0f} |"
        )
    said = [f"- {key}: {value}" for key, value in about.items()]
    return "\n".join([*lines, "", *said, "", "Installed: what is needed for that way, as installed here.", ""])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--texts", type=Path, help="one a line; default: the artifact's golden texts")
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "runtime")
    given = parser.parse_args()
    loaded = artifacts.load(given.run / "artifacts" / "onnx-int8")
    texts = given.texts or given.out / "texts.txt"
    given.out.mkdir(parents=True, exist_ok=True)
    if given.texts is None:
        texts.write_text("".join(f"{record['text']}\n" for record in golden.records_of(loaded)), "utf-8")
    rows = compare(given.run.resolve(), texts.resolve(), given.launches, given.samples)
    there = linux_facts()
    packages = ("onnxruntime", "openvino", "ai-edge-litert", "torch", "transformers", "tokenizers", "numpy")
    about = {
        "command": f"python benchmarks/runtime.py {given.run} --launches {given.launches} --samples {given.samples}",
        "machine": f"{there['cpu']}, {there['usable_cores']} cores, load before {there['load_average']}",
        "texts": sum(1 for _ in texts.open(encoding="utf-8")),
        "versions": ", ".join([f"{name} {metadata.version(name)}" for name in packages] + list(OPTIMUM)),
    }
    text = markdown(rows, about)
    (given.out / "runtime.md").write_text(text, "utf-8")
    (given.out / "runtime.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
