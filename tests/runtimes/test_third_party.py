"""ONNX transformers that others made, through our ONNX runtime: with their stored answers, where they have some."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from edgebert import artifact as artifacts
from edgebert import registry
from edgebert.artifact import Artifact, Manifest
from edgebert.errors import ArtifactError
from edgebert.protocols import TensorSpec

#: Model file -> whether it has stored inputs and outputs. The engines of today refuse those of `REFUSED`.
TINY = "ort_tiny_bert"
SOUND = {
    f"{TINY}/bert_mrpc_tensorflow2.1_opset10/TFBertForSequenceClassification_1.onnx": True,
    f"{TINY}/bert_squad_tensorflow2.1_keras2onnx_opset11/TFBertForQuestionAnswering.onnx": True,
    f"{TINY}/bert_toy_optimized.onnx": False,
    "vespa_dummy/dummy_transformer.onnx": False,
    "vespa_dummy/dummy_transformer_mlm.onnx": False,
    "vespa_dummy/dummy_transformer_without_type_ids.onnx": False,
    "vespa_dummy/mock_sentence_embedder.onnx": False,
    "vespa_dummy/transformer_sample_apps.onnx": False,
}
REFUSED = (
    f"{TINY}/bert_squad_pytorch1.4_opset10_fp32/BertForQuestionAnswering.onnx",
    f"{TINY}/bert_squad_pytorch1.4_opset11/BertForQuestionAnswering_0.onnx",
    f"{TINY}/bert_squad_pytorch1.4_opset11/BertForQuestionAnswering_1.onnx",
)


def adopted(path: Path, tmp_path: Path) -> Artifact:
    """Somebody's ONNX file as an artifact: hashed, with a manifest of what the file says."""
    graph = onnx.load(str(path)).graph
    stored = {tensor.name for tensor in graph.initializer}

    def specs(values: Any) -> tuple[TensorSpec, ...]:
        found = []
        for value in values:
            kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            shape = tuple(axis.dim_value or -1 for axis in value.type.tensor_type.shape.dim)
            found.append(TensorSpec(value.name, str(kind), shape))
        return tuple(found)

    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copyfile(path, folder / "model.onnx")
    manifest = Manifest(
        task="embeddings", labels=(), format="onnx", precision="fp32", model_files=("model.onnx",), max_length=16,
        inputs=specs(value for value in graph.input if value.name not in stored), outputs=specs(graph.output),
    )  # fmt: skip
    return artifacts.save(folder, manifest, tmp_path / "artifact")


def tensors(folder: Path, kind: str) -> dict[str, NDArray[Any]]:
    """Stored inputs or outputs by name."""
    loaded = [onnx.load_tensor(str(path)) for path in sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"))]
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in loaded}


@pytest.mark.parametrize("name", SOUND, ids=lambda name: Path(name).stem)
def test_models_of_others_run(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "models" / "third-party-onnx" / name
    artifact = adopted(path, tmp_path)
    given, expected = tensors(path.parent, "input"), tensors(path.parent, "output")
    assert bool(expected) == SOUND[name]
    if not given:
        shapes = [(spec.name, [axis if axis > 0 else 1 + at * 6 for at, axis in enumerate(spec.shape)]) for spec in
                  artifact.manifest.inputs]  # fmt: skip
        given = {key: np.ones(shape, dtype=np.int64) for key, shape in shapes}
    runtime = registry.find("runtimes", "onnx")(artifact, 1)
    found = runtime.run({key: array.astype(np.int64) for key, array in given.items()})
    assert set(found) == {spec.name for spec in artifact.manifest.outputs}
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=0, atol=1e-5)
    assert all(np.isfinite(array).all() for array in found.values())
    runtime.close()


@pytest.mark.parametrize("name", REFUSED, ids=lambda name: f"{Path(name).parent.name}-{Path(name).stem}")
def test_models_that_every_engine_refuses(shared: Path, tmp_path: Path, name: str) -> None:
    artifact = adopted(shared / "models" / "third-party-onnx" / name, tmp_path)
    with pytest.raises(ArtifactError, match=r"model\.onnx is refused by onnxruntime .*Concat") as told:
        registry.find("runtimes", "onnx")(artifact, 1)
    assert told.value.hint
