"""One contract, every engine: what `protocols.Runtime` promises, on tiny BERTs and DistilBERTs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebert import artifact as artifacts
from edgebert import golden, registry, tasks
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, EdgebertError
from edgebert.model import Model
from edgebert.protocols import Runtime
from edgebert.tasks import Encoded
from edgebert.tokenization import load_tokenizer

CASES = [
    *[("bert", name) for name in ("torch-fp32", "onnx-fp32", "onnx-int8", "openvino-fp32", "openvino-int8")],
    *[("bert", name) for name in ("tflite-fp32", "tflite-int8", "tflite-int8-legacy")],
    *[("distilbert", name) for name in ("torch-fp32", "onnx-int8", "openvino-int8", "tflite-int8")],
]

#: Largest difference from torch, in units of the outputs' spread.
WITHIN = {"fp32": 1e-3, "int8": 0.5, "int8-legacy": 0.5}

Exported = Callable[[str, str], Artifact]
Outputs = NDArray[np.float32]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def case(request: pytest.FixtureRequest, exported: Exported) -> Iterator[tuple[Artifact, Runtime, Outputs]]:
    """The artifact, loaded with one thread, and torch's answers to the texts of `encoded`."""
    family, name = request.param
    artifact = exported(family, name)
    runtime = load(artifact)
    yield artifact, runtime, reference(exported(family, "torch-fp32"))
    runtime.close()


def load(artifact: Artifact, threads: int = 1) -> Runtime:
    runtime: Runtime = registry.find("runtimes", artifact.manifest.format)(artifact, threads)
    return runtime


def encoded(artifact: Artifact) -> list[Encoded]:
    """Texts of several lengths, from two tokens to more than the longest bucket."""
    texts = ["a", "rain", "please music now", "i want the song today", "could you do the lamp thing for me, quickly!"]
    texts.append("the bulb now " * 8)
    tokenizer = load_tokenizer(artifact.path, artifact.manifest.max_length)
    return tasks.get("text-classification").encode(tokenizer, [{"text": text} for text in texts])


def ask(artifact: Artifact, runtime: Runtime, items: list[Encoded]) -> Outputs:
    found = golden.answers(items, runtime, artifact.manifest.inputs, artifact.manifest.lengths)
    return found["logits"]


def reference(artifact: Artifact) -> Outputs:
    runtime = load(artifact)
    answers = ask(artifact, runtime, encoded(artifact))
    runtime.close()
    return answers


def test_outputs_are_those_of_torch(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, expected = case
    found = ask(artifact, runtime, encoded(artifact))
    assert found.dtype == np.float32 and found.shape == expected.shape
    limit = WITHIN[artifact.manifest.precision] * golden.spread({"logits": expected})
    assert np.abs(found - expected).max() <= limit


def test_answers_do_not_depend_on_order_or_what_came_before(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, _ = case
    items = encoded(artifact)
    forward = ask(artifact, runtime, items)
    backward = ask(artifact, runtime, items[::-1])[::-1]
    np.testing.assert_array_equal(forward, backward)


def test_outputs_stay_valid_after_the_next_run(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, _ = case
    first, other = encoded(artifact)[2:4]
    manifest = artifact.manifest
    kept = runtime.run(golden.tensors(first, manifest.inputs, manifest.lengths))["logits"]
    before = kept.copy()
    runtime.run(golden.tensors(other, manifest.inputs, manifest.lengths))
    np.testing.assert_array_equal(kept, before)


def test_padding_changes_nothing(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, expected = case
    items = [item for item in encoded(artifact) if len(item.input_ids) <= 8]
    rows = [runtime.run(golden.tensors(item, artifact.manifest.inputs, [16]))["logits"] for item in items]
    difference = np.abs(np.concatenate(rows) - ask(artifact, runtime, items)).max()
    # FP32: rounding. INT8: a dynamic scale sees the padding's activations too.
    limit = 1e-5 if artifact.manifest.precision == "fp32" else 0.3
    assert len(items) >= 3 and difference <= limit * golden.spread({"logits": expected})


def test_two_threads_answer_as_one(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, _ = case
    items = encoded(artifact)
    second = load(artifact, threads=2)
    allowed = artifact.golden()["tolerance"]
    assert np.abs(ask(artifact, second, items) - ask(artifact, runtime, items)).max() <= allowed
    assert second.settings["threads"] == 2
    second.close()


def test_golden_answers_hold_and_a_wrong_one_is_found(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, _ = case
    tokenizer = load_tokenizer(artifact.path, artifact.manifest.max_length)
    found = golden.check(artifact, runtime, tokenizer)
    assert found.ok, found

    class Wrong:
        engine, settings = "wrong", runtime.settings

        def run(self, inputs: dict[str, NDArray[np.int64]]) -> dict[str, Outputs]:
            return {"logits": runtime.run(inputs)["logits"] + 2 * found.tolerance}

        def close(self) -> None: ...

    assert not golden.check(artifact, Wrong(), tokenizer).ok


def test_a_batch_is_run_or_refused_as_the_manifest_says(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, _ = case
    item = encoded(artifact)[2]
    one = golden.tensors(item, artifact.manifest.inputs, [8])
    three = {name: np.repeat(array, 3, axis=0) for name, array in one.items()}
    if artifact.manifest.batch is None:
        rows = runtime.run(three)["logits"]
        np.testing.assert_allclose(rows, np.repeat(runtime.run(one)["logits"], 3, axis=0), rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(EdgebertError, match="one text"):
            runtime.run(three)


def test_a_length_that_is_no_bucket_is_refused_where_there_are_buckets(
    case: tuple[Artifact, Runtime, Outputs],
) -> None:
    artifact, runtime, _ = case
    inputs = golden.tensors(encoded(artifact)[0], artifact.manifest.inputs, [11])
    if artifact.manifest.lengths:
        with pytest.raises(EdgebertError, match="11"):
            runtime.run(inputs)
    else:
        assert runtime.run(inputs)["logits"].shape == (1, 3)


def test_a_missing_input_is_named_and_others_are_ignored(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, _ = case
    inputs = dict(golden.tensors(encoded(artifact)[0], artifact.manifest.inputs, [8]))
    expected = runtime.run(inputs)["logits"]
    np.testing.assert_array_equal(runtime.run(inputs | {"surplus": np.zeros((1, 8))})["logits"], expected)
    with pytest.raises(EdgebertError, match="attention_mask"):
        runtime.run({name: array for name, array in inputs.items() if name != "attention_mask"})


def test_the_artifact_says_what_it_is(case: tuple[Artifact, Runtime, Outputs]) -> None:
    artifact, runtime, _ = case
    manifest = artifact.manifest
    assert manifest.labels == ("lights", "music", "weather") and manifest.max_length == 16
    assert manifest.tools["edgebert"] and manifest.licence == "Apache-2.0"
    assert manifest.lineage[-1]["role"] == "artifact" and manifest.lineage[-1]["clear_agreement"] >= 0.97
    assert runtime.engine.split()[-1][0].isdigit()
    assert {"config.json", "tokenizer.json", "golden.json"} <= set(manifest.files)
    for path in artifact.path.iterdir():
        content = path.read_bytes()
        assert str(artifact.path.parent).encode() not in content and b"/home/" not in content


def test_a_damaged_model_is_refused_before_the_engine_sees_it(
    case: tuple[Artifact, Runtime, Outputs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact, _, _ = case

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


def test_a_file_that_is_no_model_is_refused_by_the_engine_in_our_words(
    case: tuple[Artifact, Runtime, Outputs], tmp_path: Path
) -> None:
    artifact, _, _ = case
    copy = tmp_path / "artifact"
    shutil.copytree(artifact.path, copy)
    (copy / artifact.manifest.model_files[0]).write_bytes(b"this is no model" * 64)
    (copy / artifacts.MANIFEST).unlink()
    forged = artifacts.save(copy, artifact.manifest, tmp_path / "forged")
    with pytest.raises(ArtifactError, match="refused"):
        load(forged)
