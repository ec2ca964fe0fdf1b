"""One contract, every engine, every task: what `protocols.Runtime` promises, on tiny BERTs and DistilBERTs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from runtime_contract import (
    LOADING_PROMISES,
    PROMISES,
    Outputs,
    Promise,
    ask,
    encoded,
    inputs_of,
    largest_difference,
    loader_of,
)
from tiny_tasks import LABELS, TAGS, TASKS, records_for

from edgebert import artifact as artifacts
from edgebert import golden, registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, EdgebertError
from edgebert.model import Model
from edgebert.protocols import Runtime
from edgebert.tasks import Task
from edgebert.tasks.answers import Embedding, LabelSet, Prediction, Spans, TextAnswer, Value

NAMES = ("torch-fp32", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8")
NAMES = (*NAMES, "tflite-fp32", "tflite-int8", "tflite-int8-legacy")
#: What few use, on one task.
OTHERS = ("onnx-fp16", "onnx-int8-dynamic", "onnx-int8-static", "onnx-int8-weights", "openvino-fp16")
OTHERS = (*OTHERS, "onnx-int8-ort", "openvino-int8-weights", "tflite-fp16", "tflite-int8-full")
OTHERS = (*OTHERS, "tflite-int8-weights")
#: Every task in every format and precision for BERT; DistilBERT, whose graph is ours too, in its INT8 formats.
CASES = [("bert", name, kind) for kind in TASKS for name in NAMES]
CASES += [("bert", name, kind) for kind in ("single-label", "tokens") for name in OTHERS]
CASES += [("distilbert", name, "single-label") for name in ("torch-fp32", "onnx-int8", "openvino-int8", "tflite-int8")]
CASES += [("distilbert", "onnx-int8", kind) for kind in ("tokens", "answers", "embeddings")]

#: What does not depend on task or precision.
ENGINES = [("bert", name, "single-label") for name in ("torch-fp32", "onnx-int8", "openvino-int8", "tflite-int8")]

Exported = Callable[..., Artifact]

#: Largest difference from torch, in units of the outputs' spread.
WITHIN = {"fp32": 1e-3, "fp16": 0.05}  # any other: 0.6


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
    runtime = loader_of(artifact)(artifact, 1)
    reference = exported(family, "torch-fp32", task)
    torch = loader_of(reference)(reference, 1)
    yield Case(artifact, runtime, ask(reference, torch, encoded(reference)), task)
    torch.close()
    runtime.close()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_every_engine_keeps_every_promise(case: Case, promise: Promise) -> None:
    promise(case.artifact, case.runtime)


@pytest.mark.parametrize("case", ENGINES, ids=lambda case: "-".join(case), indirect=True)
@pytest.mark.parametrize("promise", LOADING_PROMISES, ids=lambda promise: promise.__name__)
def test_every_engine_loads_and_closes_as_promised(case: Case, promise: Promise) -> None:
    promise(case.artifact, case.runtime)


def test_outputs_are_those_of_torch(case: Case) -> None:
    found = ask(case.artifact, case.runtime, encoded(case.artifact))
    limit = WITHIN.get(case.artifact.manifest.precision, 0.6) * golden.spread(case.expected)
    assert set(found[0]) == set(case.task.outputs)
    assert largest_difference(found, case.expected) <= limit
    if case.task.name == "embeddings":
        for here, there in zip(found, case.expected, strict=True):
            assert float(here["embedding"] @ there["embedding"]) > 0.98
            assert np.linalg.norm(here["embedding"]) == pytest.approx(1.0, abs=1e-3)


def test_padding_changes_nothing(case: Case) -> None:
    items = [item for item in encoded(case.artifact) if len(item.input_ids) <= 8]
    manifest = case.artifact.manifest
    padded = golden.run(items, case.runtime, manifest.inputs, [16], manifest.outputs)
    # FP32: rounding. INT8: a dynamic scale sees the padding's activations too.
    limit = 1e-5 if manifest.precision == "fp32" else 0.5
    difference = largest_difference(padded, ask(case.artifact, case.runtime, items))
    assert items and difference <= limit * golden.spread(case.expected)


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
    one = inputs_of(case.artifact, item, 8)
    three = {name: np.repeat(array, 3, axis=0) for name, array in one.items()}
    if case.artifact.manifest.batch is None:
        single = case.runtime.run(one)
        for name, rows in case.runtime.run(three).items():
            np.testing.assert_allclose(rows, np.repeat(single[name], 3, axis=0), rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(EdgebertError, match="one text"):
            case.runtime.run(three)


def test_a_length_that_is_no_bucket_is_refused_where_there_are_buckets(case: Case) -> None:
    inputs = inputs_of(case.artifact, encoded(case.artifact)[0], 11)
    if case.artifact.manifest.lengths:
        with pytest.raises(EdgebertError, match="11"):
            case.runtime.run(inputs)
    else:
        assert all(len(array) == 1 for array in case.runtime.run(inputs).values())


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
        loader_of(forged)(forged, 1)
