"""Reports of realistic shape and size. Every figure here is made up, from a seed: none is a measurement."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgebert.report import Latency, LineageStep, Metric, Report, Result, assemble
from edgebert.statistics import mean_interval, percentiles

RIGHT, TESTED = 4308, 4500
FACTS = {
    "cpu_model": "Example CPU @ 2.90GHz",
    "cpu_features": ["avx2", "avx512f", "avx512_vnni"],
    "cores": 2,
    "governor": "performance",
    "frequency_mhz": 2893.2,
    "temperature_c": {"before": 51.0, "after": 53.5},
    "throttled": False,
    "load_average": [0.31, 0.28, 0.25],
    "kernel": "6.1.0",
    "python": "3.11.9",
}
# name, format, precision, right answers, ms, bytes, RSS, cold start, flips, engine version
MODELS: list[tuple[str, str, str, int, float, int, int, float, int, dict[str, Any]]] = [
    ("teacher", "torch", "fp32", RIGHT, 7.21, 90_900_000, 412_000_000, 3810.0, 61, {"torch": "2.13.0"}),
    ("student", "torch", "fp32", RIGHT - 16, 3.62, 29_400_000, 331_000_000, 3350.0, 0, {"torch": "2.13.0"}),
    ("onnx-int8", "onnx", "int8", RIGHT - 24, 0.423, 7_460_000, 78_000_000, 245.0, 14,
     {"onnxruntime": "1.32.0"}),
    ("openvino-int8", "openvino", "int8", RIGHT - 21, 0.447, 7_710_000, 131_000_000, 512.0, 11,
     {"openvino": "2026.4.1", "inference_precision_hint": "f32"}),
    ("tflite-int8", "tflite", "int8", RIGHT - 19, 0.366, 7_390_000, 64_000_000, 168.0, 9,
     {"ai_edge_litert": "2.3.0"}),
]  # fmt: skip
GATES = {"max_metric_drop": 1.0, "min_agreement": 0.98, "max_size_mb": 8.0, "max_p90_ms": {"local": 5.0}}


def make_result(index: int = 2, *, device: str = "local", slower: float = 1.0, **changes: Any) -> Result:
    """One of MODELS as it may have been measured."""
    name, kind, precision, right, ms, size, rss, cold, flips, engine = MODELS[index]
    random = np.random.default_rng(index)
    launches = [
        tuple(float(x) for x in ms * slower * shift * random.lognormal(0.0, 0.07, 200).round(4))
        for shift in random.lognormal(0.0, 0.025, 5)
    ]
    scores = np.repeat([1.0, 0.0], [right, TESTED - right])
    interval = mean_interval(scores, seed=index)
    return replace(
        Result(
            name=name,
            role="artifact" if index > 1 else "teacher" if index == 0 else "student",
            format=kind,
            precision=precision,
            device=device,
            emulated=False,
            parameters=7_300_000 if index else 22_700_000,
            metric=Metric(name="accuracy", value=interval.value, low=interval.low, high=interval.high),
            drop=100 * (RIGHT - right) / TESTED,
            agreement=1 - 1.6 * flips / TESTED,
            flips=flips,
            latency_ms=Latency(**percentiles(launches)),  # type: ignore[arg-type]
            engine_ms={str(n): ms * slower * 0.7 * (n / 16) ** 0.75 for n in (16, 32, 64, 128)},
            model_bytes=size,
            folder_bytes=size + 700_000,
            peak_rss_bytes=rss,
            cold_start_ms=cold * slower,
            threads=1,
            facts=FACTS | {"engine": engine},
            samples_ms=tuple(launches),
        ),
        **changes,
    )


def make_report(*others: Result, gates: dict[str, Any] | None = None, **changes: Any) -> Report:
    """Teacher, student and three artifacts on `local`, with `others` behind them."""
    results = [make_result(index) for index in range(len(MODELS))]
    ids = {result.name: hashlib.sha256(result.name.encode()).hexdigest() for result in results}
    parents = {"teacher": None, "student": "teacher"}
    lineage = [
        LineageStep(
            name=r.name,
            role=r.role,
            id=ids[r.name],
            parent=parents.get(r.name, "student"),
            metric=r.metric.value if r.metric else None,
        )
        for r in results
    ]
    return assemble(
        [*results, *others],
        task="text-classification",
        recipe={"task": "text-classification", "teacher": "models/teacher", "student": {"layers": 3}},
        gates=GATES if gates is None else gates,
        lineage=lineage,
        **changes,
    )


@pytest.fixture
def result() -> Callable[..., Result]:
    """`make_result`, for tests: modules of tests cannot import each other."""
    return make_result


@pytest.fixture
def report() -> Callable[..., Report]:
    """`make_report`."""
    return make_report
