"""One launch of `benchmarks/int8.py`: one way, one model, one thread count, every length.

`python int8_probe.py WAY MODEL LENGTHS THREADS SECONDS OUT` writes JSON: milliseconds of each run by length. The engine
alone is timed, batch 1, every position used. The way `roof` has no model but shapes (`128x768x3072,…`), and writes the
best INT8 rate of any of them in GOP/s, by engine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[int], Any]  # a sequence length -> one answer
Feed = dict[str, np.ndarray]
FEWEST = 5


def feeds(lengths: Sequence[int], dtype: Any = np.int64) -> dict[int, Feed]:
    """Random word pieces and full masks by length."""
    draw = np.random.default_rng(0)
    return {
        length: {
            "input_ids": draw.integers(5, 100, (1, length)).astype(dtype),
            "attention_mask": np.ones((1, length), dtype),
            "token_type_ids": np.zeros((1, length), dtype),
        }
        for length in lengths
    }


def edgebert(model: str, lengths: Sequence[int], threads: int) -> Run:
    """Our runtime of an artifact."""
    from edgebert import artifact as artifacts
    from edgebert import registry

    artifact = artifacts.load(model)
    runtime = registry.find("runtimes", artifact.manifest.format)(artifact, threads)
    given = feeds(lengths)
    return lambda length: runtime.run(given[length])


def torch_eager(model: str, lengths: Sequence[int], threads: int, compiled: bool = False) -> Run:
    """transformers as it comes."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    ask = torch.compile(loaded) if compiled else loaded
    given = {n: {name: torch.from_numpy(array) for name, array in feed.items()} for n, feed in feeds(lengths).items()}

    def run(length: int) -> Any:
        with torch.inference_mode():
            return ask(**given[length]).logits

    return run


def torch_compile(model: str, lengths: Sequence[int], threads: int) -> Run:
    """The same, compiled as it comes: the second length makes the shape dynamic."""
    return torch_eager(model, lengths, threads, compiled=True)


def optimum(model: str, lengths: Sequence[int], threads: int) -> Run:
    """ONNX Runtime with the options that it has by itself, but for the threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(f"{model}/model_quantized.onnx", options, ["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    given = {length: {name: feed[name] for name in names} for length, feed in feeds(lengths).items()}
    return lambda length: session.run(None, given[length])


def nncf(model: str, lengths: Sequence[int], threads: int) -> Run:
    """OpenVINO for latency, with the precision that it chooses by itself."""
    import openvino as ov

    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    compiled = ov.Core().compile_model(f"{model}/openvino_model.xml", "CPU", options)
    request = compiled.create_infer_request()
    every = feeds(lengths)
    names = [(port.get_names() & every[lengths[0]].keys()).pop() for port in compiled.inputs]  # it may have others too
    given = {length: {name: feed[name] for name in names} for length, feed in every.items()}
    return lambda length: request.infer(given[length])


def ai_edge_quantizer(model: str, lengths: Sequence[int], threads: int) -> Run:
    """LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(f"{model}/model.tflite", num_threads=threads)
    given = feeds(lengths, np.int32)
    runners = {length: interpreter.get_signature_runner(f"seq{length}") for length in lengths}
    names = ("input_ids", "attention_mask")
    return lambda length: runners[length](**{name: given[length][name] for name in names})


WAYS: dict[str, Callable[[str, Sequence[int], int], Run]] = {
    "edgebert": edgebert, "torch": torch_eager, "torch.compile": torch_compile, "optimum": optimum, "nncf": nncf,
    "ai-edge-quantizer": ai_edge_quantizer,
}  # fmt: skip


def roof(shapes: Sequence[tuple[int, int, int]], threads: int, seconds: float) -> dict[str, float]:
    """The best rate of INT8 products alone, GOP/s: ONNX Runtime's MatMulInteger and oneDNN's through torch."""
    import onnxruntime
    import torch
    from onnx import TensorProto, helper, numpy_helper

    torch.set_num_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    draw, best = np.random.default_rng(0), {"onnxruntime": 0.0, "oneDNN": 0.0}
    for rows, inner, columns in shapes:
        left = draw.integers(0, 255, (rows, inner), dtype=np.uint8)
        right = draw.integers(-64, 64, (inner, columns), dtype=np.int8)
        graph = helper.make_graph(
            [helper.make_node("MatMulInteger", ["a", "b"], ["c"])], "roof",
            [helper.make_tensor_value_info("a", TensorProto.UINT8, left.shape)],
            [helper.make_tensor_value_info("c", TensorProto.INT32, [rows, columns])],
            [numpy_helper.from_array(right, "b")],
        )  # fmt: skip
        body = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        session = onnxruntime.InferenceSession(body.SerializeToString(), options, ["CPUExecutionProvider"])
        a, b = torch.from_numpy((left >> 1).astype(np.int8)), torch.from_numpy(right)
        calls = {
            "onnxruntime": lambda session=session, left=left: session.run(None, {"a": left}),
            "oneDNN": lambda a=a, b=b: torch._int_mm(a, b),
        }
        for name, call in calls.items():
            quickest = min(timed(lambda _, call=call: call(), 0, seconds / len(shapes)))
            best[name] = max(best[name], 2 * rows * inner * columns / quickest / 1e6)
    return best


def timed(run: Run, length: int, seconds: float) -> list[float]:
    """Milliseconds of runs for so many seconds, at least five, after a fifth of them to warm up."""
    end = time.perf_counter() + seconds / 5
    run(length)
    while time.perf_counter() < end:
        run(length)
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < FEWEST or time.perf_counter() < end:
        start = time.perf_counter_ns()
        run(length)
        found.append((time.perf_counter_ns() - start) / 1e6)
    return found


def main(way: str, model: str, lengths: Sequence[int], threads: int, seconds: float) -> dict[str, Any]:
    """What this launch measured."""
    if way == "roof":
        shapes = [tuple(int(part) for part in shape.split("x")) for shape in model.split(",")]
        return roof([(rows, inner, columns) for rows, inner, columns in shapes], threads, 4 * seconds)
    run = WAYS[way](model, lengths, threads)
    for length in lengths:  # whatever is compiled, or allocated, by length
        run(length)
        run(length)
    return {str(length): timed(run, length, seconds) for length in lengths}


if __name__ == "__main__":
    given = sys.argv[1:]
    found = main(given[0], given[1], [int(part) for part in given[2].split(",")], int(given[3]), float(given[4]))
    Path(given[5]).write_text(json.dumps(found), "utf-8")
