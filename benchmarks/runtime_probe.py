"""One way of asking one model, in a fresh process; started by `benchmarks/runtime.py`, which explains it.

`python runtime_probe.py WAY MODEL TEXTS SAMPLES`: prints a line at its first answer, then a line of JSON. Only what
a way needs is imported, so that import time, cold start and memory are its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

Ask = tuple[Callable[[str], Any], Callable[[list[str]], Any]]  # one text; a list of 32
BATCH = 32


def edgebert(model: str) -> Callable[[], Ask]:
    """`edgebert.load(…).predict`."""
    import edgebert

    def load() -> Ask:
        loaded = edgebert.load(model, threads=1)
        return (lambda text: loaded.predict(text).label), (lambda texts: [p.label for p in loaded.predict(texts)])

    return load


def pipeline(model: str) -> Callable[[], Ask]:
    """`transformers.pipeline`, FP32 in torch."""
    import torch
    import transformers

    def load() -> Ask:
        torch.set_num_threads(1)
        ask = transformers.pipeline("text-classification", model=model, device="cpu")
        return (lambda text: ask(text)[0]["label"]), (lambda texts: [r["label"] for r in ask(texts, batch_size=BATCH)])

    return load


def ortmodel(model: str) -> Callable[[], Ask]:
    """optimum's `ORTModelForSequenceClassification` and a tokenizer, as its documentation has it."""
    import onnxruntime
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    def load() -> Ask:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        loaded = ORTModelForSequenceClassification.from_pretrained(model, session_options=options)
        tokenizer = AutoTokenizer.from_pretrained(model)
        names = loaded.config.id2label

        def many(texts: list[str]) -> list[str]:
            given = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
            return [names[i] for i in loaded(**given).logits.argmax(-1).tolist()]

        return (lambda text: many([text])[0]), many

    return load


def _parts(model: str) -> tuple[dict[str, Any], Any]:
    """Manifest and tokenizer of an artifact, for the engines' own interfaces."""
    from tokenizers import Tokenizer

    with open(f"{model}/manifest.json", encoding="utf-8") as file:  # noqa: PTH123 (pathlib would be one import more)
        manifest = json.load(file)
    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(manifest["max_length"])
    return manifest, tokenizer


def onnxruntime(model: str) -> Callable[[], Ask]:
    """ONNX Runtime's own interface, with its defaults but for the number of threads, and `tokenizers`."""
    import numpy as np
    import onnxruntime
    import tokenizers  # noqa: F401

    def load() -> Ask:
        manifest, tokenizer = _parts(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(f"{model}/model.onnx", options, providers=["CPUExecutionProvider"])
        labels, names = manifest["labels"], [entry["name"] for entry in manifest["inputs"]]

        def many(texts: list[str]) -> list[str]:
            found = tokenizer.encode_batch(texts)
            shape = (len(texts), max(len(item.ids) for item in found))
            arrays = {name: np.zeros(shape, np.int64) for name in names}
            for row, item in enumerate(found):
                used = len(item.ids)
                arrays["input_ids"][row, :used] = item.ids
                arrays["attention_mask"][row, :used] = 1
            return [labels[i] for i in session.run(["logits"], arrays)[0].argmax(-1)]

        return (lambda text: many([text])[0]), many

    return load


def openvino(model: str) -> Callable[[], Ask]:
    """OpenVINO's own interface and `tokenizers`; one compiled model for each length, as its artifacts want it."""
    import numpy as np
    import openvino as ov
    import tokenizers  # noqa: F401

    def load() -> Ask:
        manifest, tokenizer = _parts(model)
        core = ov.Core()
        read = core.read_model(f"{model}/openvino_model.xml")
        labels, names = manifest["labels"], [entry["name"] for entry in manifest["inputs"]]
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": 1}
        options |= manifest["settings"]
        compiled: dict[int, Any] = {}

        def one(text: str) -> str:
            ids = tokenizer.encode(text).ids
            length = next(n for n in manifest["lengths"] if n >= len(ids))
            if length not in compiled:
                shaped = read.clone()
                shaped.reshape({name: [1, length] for name in names})
                compiled[length] = core.compile_model(shaped, "CPU", options)
            arrays = {name: np.zeros((1, length), np.int64) for name in names}
            arrays["input_ids"][0, : len(ids)] = ids
            arrays["attention_mask"][0, : len(ids)] = 1
            label: str = labels[int(compiled[length](arrays)["logits"][0].argmax())]
            return label

        return one, (lambda texts: [one(text) for text in texts])

    return load


WAYS: dict[str, Callable[[str], Callable[[], Ask]]] = {
    "edgebert": edgebert, "pipeline": pipeline, "ORTModel": ortmodel, "onnxruntime": onnxruntime, "openvino": openvino,
}  # fmt: skip


def memory() -> int:
    """Peak resident bytes of this process."""
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def main(way: str, model: str, file: str, samples: int) -> None:
    """See the module."""
    with open(file, encoding="utf-8") as lines:  # noqa: PTH123
        texts = lines.read().splitlines()
    start = time.perf_counter()
    load = WAYS[way](model)
    imported = time.perf_counter() - start
    one, many = load()
    labels = [one(texts[0])]
    print("first", flush=True)
    for text in texts[:50]:  # warm-up; all sequence lengths of them
        one(text)
    times = []
    for number in range(samples):
        begin = time.perf_counter()
        label = one(texts[number % len(texts)])
        times.append(time.perf_counter() - begin)
        labels.append(label)
    batches = []
    many(texts[:BATCH])
    for number in range(max(3, samples // BATCH)):
        chosen = [texts[(number * BATCH + i) % len(texts)] for i in range(BATCH)]
        begin = time.perf_counter()
        many(chosen)
        batches.append(time.perf_counter() - begin)
    print(json.dumps({"import_s": imported, "times": times, "batches": batches, "rss": memory(), "labels": labels}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
