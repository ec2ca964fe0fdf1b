"""The integers and ranges of a quantization-aware training arrive in every format, and answers with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgebert import golden
from edgebert.artifact import Artifact
from edgebert.compress.distill import distill
from edgebert.compress.student import build_student
from edgebert.errors import ExportError
from edgebert.export import __main__ as child
from edgebert.export import saturation
from edgebert.model import Model
from edgebert.progress import SILENT
from edgebert.recipe import DistillSpec, QatSpec, StudentSpec
from edgebert.teacher import Teacher

pytestmark = pytest.mark.slow
Run = Callable[..., Artifact]


@dataclass(frozen=True)
class Found:
    """A product of an artifact: int8 [outputs, inputs], scales [outputs], and its input's scale and least value."""

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    step: float | None = None
    low: float | None = None


def trained(teacher: Teacher, records: list[dict[str, str]], folder: Path) -> Path:
    texts = [record["text"] for record in records]
    start = build_student(teacher, StudentSpec(layers=2), texts=texts, max_length=16, out=folder / "start")
    return distill(
        teacher, start.path, DistillSpec(epochs=0, batch_size=16), train=records, validation=(), labels=teacher.labels,
        lengths=(8, 16), out=folder / "student", work=folder / "work", progress=SILENT, threads=1,
        qat=QatSpec(steps=6, lr=1e-3),
    ).path  # fmt: skip


@pytest.fixture(scope="module")
def student(
    make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return trained(make_teacher("bert", layers=2, initializer_range=0.3), records, tmp_path_factory.mktemp("qat"))


@pytest.fixture
def run(job: Callable[..., dict[str, Any]], calibration: Callable[..., Path], tmp_path: Path) -> Run:
    def export(model: Path, name: str, **options: Any) -> Artifact:
        work = tmp_path / "work"
        work.mkdir()
        return child.export(job(model, name, calibration(), tmp_path / "target") | options, work)

    return export


def expected(student: Path) -> dict[str, tuple[NDArray[Any], float, float]]:
    """Site -> the trained integers, and the step and the least value of the activations; computed anew."""
    from safetensors.numpy import load_file

    weights = load_file(student / "model.safetensors")
    ranges = json.loads((student / "qat.json").read_text())["activations"]
    inside = {
        "attention": [f"attention.self.{name}" for name in ("query", "key", "value")],
        "output": ["attention.output.dense"],
        "up": ["intermediate.dense"],
        "down": ["output.dense"],
    }
    places = {f"layers.{n}.{site}": [f"bert.encoder.layer.{n}.{name}" for name in names]
              for n in (0, 1) for site, names in inside.items()} | {"pooler": ["bert.pooler.dense"]}  # fmt: skip
    found = {}
    for site, names in places.items():
        parts = [weights[f"{name}.weight"] for name in names]
        scaled = [part / (np.abs(part).max(axis=1, keepdims=True) / 64) for part in parts]
        assert all(np.allclose(part, part.round(), atol=1e-4) for part in scaled)
        step = (ranges[site]["max"] - ranges[site]["min"]) / 255
        found[site] = (np.concatenate(scaled).round().astype(np.int8), step, round(ranges[site]["min"] / step) * step)
    return found


def in_onnx(artifact: Artifact) -> Iterator[Found]:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(artifact.path / "model.onnx")).graph
    tables = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "MatMulInteger" and tables[node.input[1]].dtype == np.int8:
            name = node.input[1].removesuffix("_quantized")
            yield Found(tables[node.input[1]].T, tables[f"{name}_scale"])
        elif node.op_type == "MatMul" and getattr(makers.get(node.input[1]), "op_type", "") == "DequantizeLinear":
            stored, given = makers[node.input[1]], makers[node.input[0]]
            step, zero = float(tables[given.input[1]]), int(tables[given.input[2]])
            yield Found(tables[stored.input[0]].T, tables[stored.input[1]], step, -zero * step)


def in_openvino(artifact: Artifact) -> Iterator[Found]:
    import openvino

    def back(port: Any, *kinds: str) -> Any:
        node = port.get_source_output().get_node()
        while node.get_type_name() not in kinds:
            node = node.input(0).get_source_output().get_node()
        return node

    model = openvino.Core().read_model(artifact.path / "openvino_model.xml")
    for op in model.get_ordered_ops():
        if op.get_type_name() == "Convolution":
            if op.input(1).get_source_output().get_node().get_type_name() == "Constant":
                continue  # the classifier
            scaled, ranged = back(op.input(1), "Multiply"), back(op.input(0), "FakeQuantize")
            low, high = (float(back(ranged.input(port), "Constant").data.item()) for port in (1, 2))
            stored, scales = back(scaled.input(0), "Constant").data, back(scaled.input(1), "Constant").data
            assert stored.dtype == np.int8
            yield Found(stored[:, :, 0, 0], scales.reshape(-1), (high - low) / 255, low)


def in_tflite(artifact: Artifact) -> Iterator[Found]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf((artifact.path / "model.tflite").read_bytes(), 0)
    for graph in model.subgraphs:
        for op in graph.operators:
            weights = graph.tensors[op.inputs[1]] if len(op.inputs) > 1 else None
            kind = model.operatorCodes[op.opcodeIndex].builtinCode
            if kind != schema.BuiltinOperator.FULLY_CONNECTED or weights.type != schema.TensorType.INT8:
                continue
            given = graph.tensors[op.inputs[0]].quantization
            integers = model.buffers[weights.buffer].data.view(np.int8).reshape(weights.shape)
            static = graph.tensors[op.inputs[0]].type == schema.TensorType.INT8
            step = float(given.scale[0]) if static else None
            low = (-128 - int(given.zeroPoint[0])) * step if step is not None else None
            yield Found(integers, weights.quantization.scale, step, low)


READERS = {
    "onnx-int8": in_onnx, "onnx-int8-static": in_onnx, "openvino-int8": in_openvino, "tflite-int8": in_tflite,
    "tflite-int8-full": in_tflite,
}  # fmt: skip
STATIC = ("onnx-int8-static", "openvino-int8", "tflite-int8-full")


@pytest.mark.parametrize("name", READERS)
def test_what_was_trained_arrives(name: str, student: Path, run: Run) -> None:
    made = run(student, name)
    found, wanted = list(READERS[name](made)), expected(student)
    for site, (integers, step, low) in wanted.items():
        last = site == "layers.1.attention"  # of the last layer the queries are a product of their own: one token's
        width = len(integers) // 3
        for part in (integers[:width], integers[width:]) if last else (integers,):
            same = [product for product in found if np.array_equal(product.integers, part)]
            assert same, f"{name} has not the integers of {site}"
            for product in same:
                assert np.abs(product.integers).max(axis=1).min() == 64 and (product.scales > 0).all()
                if name in STATIC:
                    assert product.step == pytest.approx(step, rel=1e-4), site
                    assert product.low == pytest.approx(low, rel=1e-3, abs=1e-6), site
    assert "trained" in made.manifest.precision_parts["matmul"]
    assert not made.manifest.settings.get("session.x64quantprecision")  # no pair of weights can saturate
    with Model.load(made.path) as model:
        assert golden.check(model.artifact, model.runtime).ok
    assert all(not saturation.unsafe_pairs(product.integers.T).any() for product in found)


def test_distilbert_too(
    make_teacher: Callable[..., Teacher], records: list[dict[str, str]], run: Run, tmp_path: Path
) -> None:
    made = run(trained(make_teacher("distilbert", layers=2, initializer_range=0.3), records, tmp_path), "onnx-int8")
    found = list(in_onnx(made))
    # Of the last layer the queries are a product of their own.
    assert len(found) == 2 * 4 + 1 + 1
    assert all((np.abs(product.integers).max(axis=1) == 64).all() for product in found)


def test_weights_that_were_changed_since_are_refused(student: Path, run: Run, tmp_path: Path) -> None:
    import shutil

    import safetensors.torch

    folder = tmp_path / "changed"
    shutil.copytree(student, folder)
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.weight"] *= 1.0 + 0.3 * (weights["bert.pooler.dense.weight"][:, :1] > 0)
    weights["bert.encoder.layer.0.output.dense.weight"][0, 0] += 0.0123
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExportError, match=r"qat\.json does not fit the model"):
        run(folder, "onnx-int8")
    (folder / "qat.json").write_text("{}")
    (tmp_path / "work").rename(tmp_path / "before")
    with pytest.raises(ExportError, match=r"qat\.json does not fit the model"):
        run(folder, "onnx-int8")
