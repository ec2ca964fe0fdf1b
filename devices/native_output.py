"""What the engines' benchmark programs print, in several of their versions, read into milliseconds."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from edgebert.errors import DeviceError


@dataclass(frozen=True)
class Figures:
    """One run of a program. Times are milliseconds, memory is bytes; None for what it does not tell.

    Args:
        n: timed runs.
        mean: of their times.
        p50: their median; some versions do not tell it.
        init: loading the model.
        first: the first inference.
        memory_bytes: peak of the process, or what it added, as the program counts.
    """

    n: int
    mean: float
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    min: float | None = None
    max: float | None = None
    std: float | None = None
    init: float | None = None
    first: float | None = None
    memory_bytes: int | None = None

    def row(self) -> dict[str, Any]:
        """As a cell of a row of `bench`: `p50`, `p90` and `n` always, of the rest what is there."""
        told = {key: value for key, value in asdict(self).items() if value is not None}
        return {"p50": self.p50, "p90": self.p90} | told


#: A number as C++ streams write it: 200386, 2.95034e+06.
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"


def read_benchmark_model(said: str) -> Figures:
    """LiteRT's `benchmark_model`, times in microseconds; lines may carry `INFO: ` or a logcat prefix.

    The statistics line comes twice, for the warm-up and for the timed runs: the last one counts.

    Raises:
        DeviceError: there is no result.
    """
    statistics = re.findall(rf"\bcount=\d+ (?:\w+={_NUMBER}\s*)+", said)
    timings = re.findall(
        rf"timings in us: Init: ({_NUMBER}), First inference: ({_NUMBER}), .*?Inference \(avg\): ({_NUMBER})", said
    )
    old = re.findall(rf"Average inference timings in us: Warmup: {_NUMBER}, Init: ({_NUMBER}), .*?: ({_NUMBER})", said)
    if not statistics or not (timings or old):
        raise _unread("benchmark_model", said)
    found = {key: float(value) for key, value in re.findall(rf"(\w+)=({_NUMBER})", statistics[-1])}
    init, first, mean = timings[-1] if timings else (old[-1][0], found.get("first", "nan"), old[-1][1])
    memory = re.findall(
        rf"Overall peak memory footprint \(MB\) via periodic monitoring: ({_NUMBER})"
        rf"|emory footprint.*?\(MB\): init={_NUMBER} overall=({_NUMBER})",
        said,
    )

    def ms(name: str) -> float | None:
        return found[name] / 1e3 if name in found else None

    return Figures(
        n=int(found["count"]), mean=float(mean) / 1e3, p50=ms("median"), p95=ms("p95"), min=ms("min"), max=ms("max"),
        std=ms("std"), init=float(init) / 1e3, first=float(first) / 1e3,
        memory_bytes=round(float(memory[-1][0] or memory[-1][1]) * 2**20) if memory else None,
    )  # fmt: skip


def read_perf_test(said: str) -> Figures:
    """`onnxruntime_perf_test`: percentiles and session creation in seconds, the others in milliseconds.

    Raises:
        DeviceError: there is no result.
    """

    def number(label: str, scale: float = 1.0) -> float | None:
        found = re.findall(rf"^\s*{label}: ?({_NUMBER}) ?(?:s|ms|bytes)?\s*$", said, re.MULTILINE)
        return float(found[-1]) * scale if found else None

    count, mean = number("Total inference requests"), number("Average inference time cost(?: total)?")
    if count is None or mean is None:
        raise _unread("onnxruntime_perf_test", said)
    memory = number("Peak working set size")
    return Figures(
        n=int(count), mean=mean, **{f"p{q}": number(f"P{q} Latency", 1e3) for q in (50, 90, 95, 99)},
        min=number("Min Latency", 1e3), max=number("Max Latency", 1e3), init=number("Session creation time cost", 1e3),
        first=number("First inference time cost"), memory_bytes=int(memory) if memory else None,
    )  # fmt: skip


def read_benchmark_app(report: str) -> Figures:
    """OpenVINO's `benchmark_report.json`: figures are strings, in milliseconds.

    Raises:
        DeviceError: it is no such report, or the program failed.
    """
    try:
        results = json.loads(report)["execution_results"]
        if "error" in results:
            raise DeviceError(f"benchmark_app failed: {str(results['error'])[:300]}", "does it take this model?")
        # `latency (ms)` is the median; where another percentile was asked for, its name says so.
        told = {key.removesuffix(" (ms)"): value for key, value in results.items()}

        def number(*names: str) -> float | None:
            return next((float(told[name]) for name in names if name in told), None)

        return Figures(
            n=int(told["total number of iterations"]), mean=float(told["avg latency"]), p50=float(told["latency"]),
            min=number("min latency"), max=number("max latency"), first=number("first inference time"),
            init=number("compile model time", "load network time"),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unread("benchmark_app", report) from error


def _unread(program: str, said: str) -> DeviceError:
    tail = " | ".join(line.strip() for line in said.strip().splitlines()[-3:])[-300:] or "it said nothing"
    return DeviceError(f"{program} gave no result: {tail}", f"is it {program}, built for this device?")
