"""How long a first answer takes, and how much memory: `python benchmarks/startup.py [ARTIFACT...]`.

Every process is fresh; they take turns for some rounds, and medians are reported. Times are those of the whole process,
interpreter included. Memory is the peak of resident memory: "over the engine" is what the first answer takes beyond a
Python that has only imported the artifact's engine. The golden answers are asked once before, as on any machine that
has loaded the artifact before; "first load ever" has an empty cache folder.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENGINES = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "tflite": "ai_edge_litert.interpreter",
    "torch": "torch, transformers",
}
PREDICT = "import sys, edgebert; edgebert.load(sys.argv[1]).predict('hello there')"
#: The peak of this very process (getrusage would count what the parent had when it forked).
PEAK = "; print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])"


def run(code: str, path: str, cache: str) -> tuple[float, float]:
    """Milliseconds of one fresh interpreter, and its peak memory in MB."""
    environment = os.environ | {"EDGEBERT_CACHE": cache}
    start = time.perf_counter()
    command = [sys.executable, "-c", code + PEAK, path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return (time.perf_counter() - start) * 1000, int(done.stdout.split()[-1]) * 1024 / 1e6


def candidates(paths: list[str]) -> dict[str, tuple[str, str]]:
    """Name -> code and its argument."""
    found = {"bare interpreter": ("pass", ""), "import numpy": ("import numpy", "")}
    found["import edgebert"] = ("import edgebert", "")
    for path in paths:
        name, engine = "/".join(Path(path).parts[-2:]), ENGINES[Path(path).name.partition("-")[0]]
        found[f"import {engine}"] = (f"import {engine}", "")
        found[f"first answer of {name}"] = (PREDICT, path)
        found[f"first load ever of {name}"] = (PREDICT, path)
    return found


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="*", help="folders named as edgebert names them, such as onnx-int8")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    tried = candidates(arguments.artifacts)
    times: dict[str, list[float]] = {name: [] for name in tried}
    peaks: dict[str, list[float]] = {name: [] for name in tried}
    with tempfile.TemporaryDirectory() as scratch:
        for path in arguments.artifacts:
            run(PREDICT, path, f"{scratch}/known")
        for number in range(arguments.rounds):
            for name, (code, path) in tried.items():
                cache = (
                    f"{scratch}/{number}-{len(times[name])}" if name.startswith("first load") else f"{scratch}/known"
                )
                taken, peak = run(code, path, cache)
                times[name].append(taken)
                peaks[name].append(peak)
    print("| process | median, ms | least, ms | peak, MB | over the engine, MB |\n|:--|--:|--:|--:|--:|")
    engine = 0.0
    for name in tried:
        peak = statistics.median(peaks[name])
        engine = peak if name.startswith("import") else engine
        over = f"{peak - engine:+.1f}" if name.startswith("first") else ""
        print(f"| {name} | {statistics.median(times[name]):.0f} | {min(times[name]):.0f} | {peak:.1f} | {over} |")


if __name__ == "__main__":
    main()
