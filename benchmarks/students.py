"""Students against their teacher as Optimum's stock dynamic INT8 ONNX, on real texts, in one run.

    python benchmarks/students.py build/clinc150-4mb build/clinc150-2mb [--teacher ../shared/models/minilm-clinc150]
        [--texts build/clinc150-data/test.jsonl] [--count 300] [--rounds 5] [--out benchmarks/results/students]

Each RUN is what `edgebert run` made (`report.json`, `artifacts/*-int8`). The engine alone is timed, batch 1, one
thread, on the first texts of the test split, each at the length that its engine takes it at (Optimum's model at the
text's own). A launch is a fresh process that measures one model; launches of all take turns. Told are the median over
all texts and launches, how many times quicker that is than the teacher, and metric and sizes from the reports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from int8 import QUIET, make
from runtime import optimum

from edgebert.devices.facts import linux_facts

ROOT = Path(__file__).parents[1]
TEACHER = "teacher, Optimum INT8"


def calls_of(model: str, texts: list[str]) -> list[Callable[[], Any]]:
    """For each text the engine's own run of it, with tensors that are ready."""
    if (Path(model) / "model_quantized.onnx").is_file():
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(f"{model}/model_quantized.onnx", options, ["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
        feeds = []
        for found in map(tokenizer.encode, texts):
            every = {"input_ids": found.ids, "attention_mask": [1] * len(found.ids), "token_type_ids": found.type_ids}
            feeds.append({entry.name: [every[entry.name]] for entry in session.get_inputs()})
        return [lambda feed=feed: session.run(None, feed) for feed in map(_arrays, feeds)]  # type: ignore[misc]
    import edgebert
    from edgebert.tensors import tensors

    loaded = edgebert.load(model)
    runtime, names, lengths = loaded.runtime, loaded._inputs, loaded._lengths
    given = [tensors(loaded.encode({"text": text})[0], names, lengths) for text in texts]
    return [lambda feed=feed: runtime.run(feed) for feed in given]  # type: ignore[misc]


def _arrays(feed: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    return {name: np.array(values, dtype=np.int64) for name, values in feed.items()}


def probe(model: str, texts: list[str]) -> list[float]:
    """Milliseconds of each text, the second time round: what an engine prepares by length is there then."""
    calls = calls_of(model, texts)
    for call in calls:
        call()
    found = []
    for call in calls:
        start = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - start) / 1e6)
    return found


def launch(model: Path, texts: Path, count: int) -> list[float]:
    """One fresh process."""
    command = [sys.executable, __file__, str(model), "--texts", str(texts), "--count", str(count), "--child"]
    environment = os.environ | QUIET | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def teacher_of(source: Path) -> Path:
    """The teacher by Optimum's recipe, made once."""
    made = ROOT / "build" / "int8" / "teacher" / source.name
    if not made.is_dir():
        optimum()
        make("optimum", str(source), made, "16")
        (made / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    return made


def reported(run: Path) -> dict[str, dict[str, Any]]:
    """Name of a model -> what the run's report says of it."""
    report = json.loads((run / "report.json").read_text("utf-8"))
    return {row["name"]: row for row in report["results"]}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--teacher", type=Path, default=ROOT.parent / "shared" / "models" / "minilm-clinc150")
    parser.add_argument("--texts", type=Path, default=ROOT / "build" / "clinc150-data" / "test.jsonl")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "students")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        lines = given.texts.read_text("utf-8").splitlines()[: given.count]
        print(json.dumps(probe(str(given.runs[0]), [json.loads(line)["text"] for line in lines])))
        return
    for run in given.runs:
        if not (run / "report.json").is_file():
            raise SystemExit(
                f"{run} has no report.json: make it with edgebert run benchmarks/{run.name}.yaml --out {run}"
            )
    models = {TEACHER: teacher_of(given.teacher)}
    for run in given.runs:
        models |= {f"{run.name}, {path.name}": path for path in sorted((run / "artifacts").glob("*-int8"))}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(given.rounds):
        for name, path in models.items():
            print(f"round {number + 1} of {given.rounds}: {name}", file=sys.stderr)
            times[name] += launch(path, given.texts, given.count)
    table = markdown(given, times)
    print(table)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "students.md").write_text(table, "utf-8")


def markdown(given: argparse.Namespace, times: dict[str, list[float]]) -> str:
    """One row a model."""
    base = median(times[TEACHER])
    lines = ["| | engine, p50 | quicker | file | drop, points |", "|:--|--:|--:|--:|--:|"]
    lines.append(f"| {TEACHER} | {base:.3f} ms | 1 × | | |")
    for run in given.runs:
        report = reported(run)
        for name in sorted(key.partition(", ")[2] for key in times if key.startswith(f"{run.name}, ")):
            p50, row = median(times[f"{run.name}, {name}"]), report[name]
            size = f"{row['model_bytes'] / 1e6:.2f} MB"
            lines.append(f"| {run.name}, {name} | {p50:.3f} ms | {base / p50:.1f} × | {size} | {row['drop']:.2f} |")
    facts = linux_facts()
    told = f"Median of {given.count} test texts × {given.rounds} launches, one thread; {facts['cpu']}."
    return "\n".join([*lines, "", told, ""])


if __name__ == "__main__":
    main()
