"""One contract, every engine, every task: what `protocols.Runtime` promises, on tiny BERTs and DistilBERTs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_tasks import LABELS, TAGS, TASKS, records_for

from edgebert import artifact as artifacts
from edgebert import golden, registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, EdgebertError
from edgebert.model import Model
from edgebert.protocols import Runtime
from edgebert.tasks import Encoded, Task
from edgebert.tasks.answers import Embedding, LabelSet, Prediction, Spans, TextAnswer, Value
from edgebert.tensors import tensors
from edgebert.tokenization import load_tokenizer

NAMES = ("torch-fp32", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8")
NAMES = (*NAMES, "tflite-fp32", "tflite-int8", "tflite-int8-legacy")
#: What few use, on one task.
OTHERS = ("onnx-fp16", "onnx-int8-dynamic", "onnx-int8-static", "onnx-int8-weights", "openvino-fp16")
OTHERS = (*OTHERS, "openvino-int8-weights", "tflite-fp16", "tflite-int8-weights")
#: Every task in every format and precision for BERT; DistilBERT, whose graph is ours too, in its INT8 formats.
CASES = [("bert", name, kind) for kind in TASKS for name in NAMES]
CASES += [("bert", name, kind) for kind in ("single-label", "tokens") for name in OTHERS]
CASES += [("distilbert", name, "single-label") for name in ("torch-fp32", "onnx-int8", "openvino-int8", "tflite-int8")]
CASES += [("distilbert", "onnx-int8", kind) for kind in ("tokens", "answers", "embeddings")]

Exported = Callable[..., Artifact]

#: Largest difference from torch, in units of the outputs' spread.
WITHIN = {"fp32": 1e-3, "fp16": 0.05}  # any other: 0.6

Outputs = list[dict[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Case:
    """An artifact, loaded with one thread, and torch's answers to the windows of `encoded`."""

    artifact: Artifact
    runtime: Runtime
    expected: Outputs
    task: Task


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, exported: Exported) -> Iterator[Case]:
    """Exported, loaded, and asked in torch."""
    family, name, kind = request.param
    task = TASKS[kind]
    artifact = exported(family, name, task)
    runtime = load(artifact)
    reference = exported(family, "torch-fp32", task)
    torch = load(reference)
    yield Case(artifact, runtime, ask(reference, torch, encoded(reference)), task)
    torch.close()
    runtime.close()


def load(artifact: Artifact, threads: int = 1) -> Runtime:
    runtime: Runtime = registry.find("runtimes", artifact.manifest.format)(artifact, threads)
    return runtime


def encoded(artifact: Artifact) -> list[Encoded]:
    """Windows of several lengths, from two tokens to the longest bucket."""
    texts = ["a", "rain", "please music now", "i want the song today", "could you do the lamp thing for me, quickly!"]
    texts.append("the bulb now " * 8)
    manifest = artifact.manifest
    task = tasks.get(manifest.task, manifest.task_settings)
    tokenizer = load_tokenizer(artifact.path, None if task.windowed else manifest.max_length)
    found = []
    for text in texts:
        record = dict.fromkeys(task.roles, text) if task.roles != ("question", "context") else {
            "question": "rain", "context": text
        }  # fmt: skip
        found += task.encode(tokenizer, record, manifest.max_length)
    return found


def ask(artifact: Artifact, runtime: Runtime, items: list[Encoded]) -> Outputs:
    manifest = artifact.manifest
    return golden.run(items, runtime, manifest.inputs, manifest.lengths, manifest.outputs)


def names(artifact: Artifact) -> list[str]:
    return [spec.name for spec in artifact.manifest.inputs]


def largest_difference(found: Outputs, expected: Outputs) -> float:
    """Over all windows and outputs, shapes and dtypes being equal."""
    worst = 0.0
    for here, there in zip(found, expected, strict=True):
        assert set(here) == set(there)
        for name, array in there.items():
            assert here[name].dtype == np.float32 and here[name].shape == array.shape
            worst = max(worst, float(np.abs(here[name] - array).max()))
    return worst


def test_outputs_are_those_of_torch(case: Case) -> None:
    found = ask(case.artifact, case.runtime, encoded(case.artifact))
    limit = WITHIN.get(case.artifact.manifest.precision, 0.6) * golden.spread(case.expected)
    assert set(found[0]) == set(case.task.outputs)
    assert largest_difference(found, case.expected) <= limit
    if case.task.name == "embeddings":
        for here, there in zip(found, case.expected, strict=True):
            assert float(here["embedding"] @ there["embedding"]) > 0.98
            assert np.linalg.norm(here["embedding"]) == pytest.approx(1.0, abs=1e-3)


def test_answers_do_not_depend_on_order_or_what_came_before(case: Case) -> None:
    items = encoded(case.artifact)
    forward = ask(case.artifact, case.runtime, items)
    backward = ask(case.artifact, case.runtime, items[::-1])[::-1]
    assert largest_difference(backward, forward) == 0


def test_outputs_stay_valid_after_the_next_run(case: Case) -> None:
    first, other = encoded(case.artifact)[2:4]
    lengths = case.artifact.manifest.lengths
    kept = case.runtime.run(tensors(first, names(case.artifact), lengths))
    before = {name: array.copy() for name, array in kept.items()}
    case.runtime.run(tensors(other, names(case.artifact), lengths))
    for name, array in before.items():
        np.testing.assert_array_equal(kept[name], array)


def test_padding_changes_nothing(case: Case) -> None:
    items = [item for item in encoded(case.artifact) if len(item.input_ids) <= 8]
    manifest = case.artifact.manifest
    padded = golden.run(items, case.runtime, manifest.inputs, [16], manifest.outputs)
    # FP32: rounding. INT8: a dynamic scale sees the padding's activations too.
    limit = 1e-5 if manifest.precision == "fp32" else 0.5
    difference = largest_difference(padded, ask(case.artifact, case.runtime, items))
    assert items and difference <= limit * golden.spread(case.expected)


def test_two_threads_answer_as_one(case: Case) -> None:
    items = encoded(case.artifact)
    second = load(case.artifact, threads=2)
    allowed = case.artifact.golden()["tolerance"]
    found = ask(case.artifact, second, items)
    assert largest_difference(found, ask(case.artifact, case.runtime, items)) <= allowed
    assert second.settings["threads"] == 2
    second.close()


def test_golden_answers_hold_and_a_wrong_one_is_found(case: Case) -> None:
    runtime = case.runtime
    found = golden.check(case.artifact, runtime)
    assert found.ok, found

    class Wrong:
        engine, settings = "wrong", runtime.settings

        def run(self, inputs: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float32]]:
            return {name: array + 2 * found.tolerance for name, array in runtime.run(inputs).items()}

        def close(self) -> None: ...

    assert not golden.check(case.artifact, Wrong()).ok


def test_a_prediction_has_the_tasks_shape(case: Case, records: list[dict[str, str]]) -> None:
    record = records_for(case.task, records)[0]
    with Model.load(case.artifact.path) as model:
        answer = model.predict_record(record)
        again = model.predict({role: record.get(role, "please rain") for role in case.task.roles})
        assert type(again) is type(answer) and json.dumps(answer.to_json())
        assert (
            model.predict([dict.fromkeys(case.task.roles, "rain")] * 2)
            == [model.predict(dict.fromkeys(case.task.roles, "rain"))] * 2
            or case.task.name == "embeddings"
        )
    shapes = {"text-classification": (Prediction, LabelSet, Value), "token-classification": (Spans,)}
    shapes |= {"question-answering": (TextAnswer,), "embeddings": (Embedding,)}
    assert isinstance(answer, shapes[case.task.name])


def test_a_batch_is_run_or_refused_as_the_manifest_says(case: Case) -> None:
    item = encoded(case.artifact)[1]
    one = tensors(item, names(case.artifact), [8])
    three = {name: np.repeat(array, 3, axis=0) for name, array in one.items()}
    if case.artifact.manifest.batch is None:
        single = case.runtime.run(one)
        for name, rows in case.runtime.run(three).items():
            np.testing.assert_allclose(rows, np.repeat(single[name], 3, axis=0), rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(EdgebertError, match="one text"):
            case.runtime.run(three)


def test_a_length_that_is_no_bucket_is_refused_where_there_are_buckets(case: Case) -> None:
    inputs = tensors(encoded(case.artifact)[0], names(case.artifact), [11])
    if case.artifact.manifest.lengths:
        with pytest.raises(EdgebertError, match="11"):
            case.runtime.run(inputs)
    else:
        assert all(len(array) == 1 for array in case.runtime.run(inputs).values())


def test_a_missing_input_is_named_and_others_are_ignored(case: Case) -> None:
    inputs = dict(tensors(encoded(case.artifact)[0], names(case.artifact), [8]))
    expected = case.runtime.run(inputs)
    for name, array in case.runtime.run(inputs | {"surplus": np.zeros((1, 8))}).items():
        np.testing.assert_array_equal(array, expected[name])
    for missing in names(case.artifact):
        with pytest.raises(EdgebertError, match=missing):
            case.runtime.run({name: array for name, array in inputs.items() if name != missing})


def test_the_artifact_says_what_it_is(case: Case) -> None:
    artifact, runtime = case.artifact, case.runtime
    manifest = artifact.manifest
    labels = {"token-classification": TAGS, "text-classification": LABELS if case.task.labelled else ()}
    assert manifest.labels == labels.get(case.task.name, ()) and manifest.max_length == 16
    assert tasks.get(manifest.task, manifest.task_settings) == case.task
    assert manifest.tools["edgebert"] and manifest.licence == "Apache-2.0"
    assert manifest.lineage[-1]["role"] == "artifact" and manifest.lineage[-1]["clear_agreement"] >= 0.97
    assert runtime.engine.split()[-1][0].isdigit()
    assert {"config.json", "tokenizer.json", "golden.json"} <= set(manifest.files)
    for path in artifact.path.iterdir():
        content = path.read_bytes()
        assert str(artifact.path.parent).encode() not in content and b"/home/" not in content


def test_a_damaged_model_is_refused_before_the_engine_sees_it(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = case.artifact

    def never(kind: str, name: str) -> None:
        raise AssertionError("the engine was asked")

    monkeypatch.setattr(registry, "find", never)
    copy = tmp_path / "artifact"
    for damage in ("cut", "flipped"):
        shutil.copytree(artifact.path, copy)
        model = copy / artifact.manifest.model_files[-1]
        content = bytearray(model.read_bytes())
        if damage == "cut":
            del content[len(content) // 2 :]
        else:
            content[len(content) // 2] ^= 1
        model.write_bytes(content)
        with pytest.raises(ArtifactError, match="damaged"):
            Model.load(copy)
        shutil.rmtree(copy)


def test_a_file_that_is_no_model_is_refused_by_the_engine_in_our_words(case: Case, tmp_path: Path) -> None:
    artifact = case.artifact
    copy = tmp_path / "artifact"
    shutil.copytree(artifact.path, copy)
    (copy / artifact.manifest.model_files[0]).write_bytes(b"this is no model" * 64)
    (copy / artifacts.MANIFEST).unlink()
    forged = artifacts.save(copy, artifact.manifest, tmp_path / "forged")
    with pytest.raises(ArtifactError, match="refused"):
        load(forged)
