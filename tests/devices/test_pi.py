"""A CLINC150 student on emulated Raspberry Pis, by real ssh: right answers are proven there, latency is not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pi as standin
import pytest
from click.testing import CliRunner

from edgebert import pipeline
from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.cli import main
from edgebert.devices.ssh import CONFIG
from edgebert.gate import judge
from edgebert.measurement import Measurement
from edgebert.model import Model
from edgebert.progress import SILENT
from edgebert.results import results_of

pytestmark = pytest.mark.slow

NAMES = ("onnx-int8", "openvino-int8", "tflite-int8", "tflite-int8-legacy")
PLAN = Plan(launches=1, samples=10, lengths=(32,))
#: 250 steps: enough for clear answers, and a minute on two cores.
RECIPE = """
task: text-classification
teacher: {shared}/models/minilm-clinc150
data:
  train: {{path: train.jsonl}}
  validation: {{path: val.jsonl}}
  test: {{path: test.jsonl}}
lengths: [32]
student: {{layers: 3, intermediate_size: 576, vocabulary: prune}}
distill: {{max_steps: 250, lr: 0.0005}}
export: [{names}]
"""


@pytest.fixture(scope="module")
def splits(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLINC150 in scope, of the test sentences 200 that are spread over all intents."""
    folder = tmp_path_factory.mktemp("clinc150")
    document = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))
    for name, rows in (("train", document["train"]), ("val", document["val"]), ("test", document["test"][::22][:200])):
        lines = (json.dumps({"text": text, "label": label}) for text, label in rows)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def students(shared: Path, splits: Path) -> dict[str, Artifact]:
    """The student in every format, from the teacher by a run of edgebert; `EDGEBERT_STUDENTS` may hold such a run."""
    from edgebert import artifact as artifacts

    out = Path(os.environ.get("EDGEBERT_STUDENTS") or splits / "out")
    if not (out / "artifacts").is_dir():
        recipe = splits / "recipe.yaml"
        recipe.write_text(RECIPE.format(shared=shared.resolve(), names=", ".join(NAMES)))
        pipeline.run(recipe, out=out, until="export")
    return {name: artifacts.load(out / "artifacts" / name) for name in NAMES}


@pytest.fixture(scope="module")
def sentences(splits: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (splits / "test.jsonl").read_text("utf-8").splitlines()]


Measured = dict[str, Measurement]
Measure = Callable[..., Measured]


@pytest.fixture(scope="module")
def measure(students: dict[str, Artifact], sentences: list[dict[str, str]]) -> Measure:
    """`measure("ssh:pi", names)`: as `edgebert check` does it, with few samples of a latency that means nothing."""

    def on(device: str, names: Sequence[str] = NAMES) -> Measured:
        with connected(device) as connection:
            candidates = [Candidate(name, "artifact", students[name]) for name in names]
            return dict(zip(names, measure_all(candidates, connection, sentences, PLAN, SILENT), strict=True))

    return on


@pytest.fixture(scope="module")
def here(measure: Measure) -> Measured:
    """What this computer answers."""
    return measure("local")


@pytest.fixture(scope="module", params=["cortex-a72", "cortex-a76"])
def there(
    request: pytest.FixtureRequest, measure: Measure, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Measured]:
    """What a Pi 4 and a Pi 5 answer: the first has no dot product, and meets tflite-runtime for the first time."""
    if problem := standin.missing():
        pytest.skip(problem)
    names = NAMES if request.param == "cortex-a72" else NAMES[:3]
    folder = tmp_path_factory.mktemp(request.param)
    with standin.running(standin.image(), request.param, folder) as config, pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG, str(config))
        yield measure("ssh:pi", names)


def test_answers_are_those_of_x86(
    there: Measured, here: Measured, students: dict[str, Artifact], sentences: list[dict[str, str]]
) -> None:
    for name, found in there.items():
        ours, theirs = here[name].answers, found.answers
        assert ours is not None and theirs is not None and len(theirs) == len(sentences) >= 200
        different = [index for index in range(len(theirs)) if ours[index] != theirs[index]]
        assert len(different) <= 0.01 * len(sentences), (name, different)
        with Model.load(students[name].path) as model:
            for index in different:
                (window,) = model.encode(sentences[index])
                logits = model.run(window)["logits"]
                assert logits[ours[index]] - logits[theirs[index]] <= found.golden["tolerance"], (name, index)


def test_golden_answers_pass_and_the_engine_is_the_device_s(there: Measured) -> None:
    for name, found in there.items():
        assert found.golden["ok"] and found.golden["max_error"] <= found.golden["tolerance"]
        assert found.facts_before["machine"] == "aarch64" and "asimd" in found.facts_before["features"]
        if name == "tflite-int8-legacy":
            assert found.engine == "tflite-runtime 2.14.0"
        else:
            assert found.engine.split()[0] in ("onnxruntime", "openvino", "ai-edge-litert")


def test_times_of_an_emulated_device_are_no_verdict(there: Measured) -> None:
    for result in results_of(list(there.values())):
        assert result.emulated and result.metric is not None and result.metric.value > 0.8
        verdict, reasons = judge(result, {"max_p90_ms": {"ssh:pi": 1e9}})
        assert verdict == "unknown" and any("emulated" in reason for reason in reasons)


def test_the_verb_says_that_it_is_emulated(
    students: dict[str, Artifact], splits: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if problem := standin.missing():
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("verb")
    (folder / "few.jsonl").write_text("\n".join((splits / "test.jsonl").read_text().splitlines()[:20]) + "\n")
    with standin.running(standin.image(), "cortex-a76", folder) as config, pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG, str(config))
        arguments = ["check", str(students["tflite-int8"].path), "--data", str(folder / "few.jsonl")]
        done = CliRunner().invoke(main, [*arguments, "--device", "ssh:pi", "--launches", "1", "--samples", "10"])
    assert done.exit_code == 0, done.output
    assert "ssh:pi (emulated: times are not a device's)" in done.stdout
