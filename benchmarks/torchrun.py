"""Two processes under torchrun against one: the same student? On a part of CLINC150, over seeds. First, once:

    python benchmarks/convert_clinc150.py ../shared/data/clinc150/data_full.json build/clinc150-data

    python benchmarks/torchrun.py [--teacher ../shared/models/minilm-clinc150] [--data build/clinc150-data]
        [--seeds 0,1,2] [--labels 30] [--train 50] [--processes 2] [--work build/torchrun]

For each seed a student is distilled by `edgebert run` alone and by the same command under torchrun (gloo, on CPUs, one
thread a process), and answers the test texts of those labels. Then the first seed's training is started again, one of
its processes is killed with SIGKILL once there is a checkpoint, and the same command goes on. Told are the metric of
each student with its 95 % interval over texts, the mean over seeds with Student's, and whether the students are the
same. What is in `--work` is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from edgebert.artifact import content_hash
from edgebert.devices.facts import linux_facts
from edgebert.stages import tools
from edgebert.statistics import mean_interval

ROOT = Path(__file__).parents[1]
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Trained:
    """A student: which test texts it answers rightly, its answers, its content, and how long its run took."""

    right: NDArray[np.float64]
    answers: NDArray[np.int64]
    content: str
    seconds: float

    @property
    def metric(self) -> float:
        """The share of right answers."""
        return float(self.right.mean())


def part_of(data: Path, work: Path, labels: int, train: int) -> None:
    """The first labels in alphabetical order, and of each so many texts to train on."""
    read = {
        name: [json.loads(line) for line in (data / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("train", "validation", "test")
    }
    kept = sorted({record["intent"] for record in read["train"]})[:labels]
    for name, records in read.items():
        chosen = []
        for label in kept:
            chosen += [r for r in records if r["intent"] == label][: train if name == "train" else None]
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in chosen)
        (work / f"{name}.jsonl").write_text(lines, "utf-8")


def recipe_of(given: argparse.Namespace, seed: int) -> Path:
    """A recipe that differs between seeds in the seed alone."""
    splits = ("train", "validation", "test")
    recipe = {
        "task": "text-classification",
        "teacher": str(given.teacher.resolve()),
        "data": {name: {"path": f"{name}.jsonl", "text": "text", "label": "intent"} for name in splits},
        "lengths": [32],
        "student": {"layers": 2, "vocabulary": "prune"},
        "distill": {"epochs": given.epochs, "copies": 1, "seed": seed},
    }
    path: Path = given.work / f"seed-{seed}.yaml"
    path.write_text(json.dumps(recipe), "utf-8")
    return path


def command(recipe: Path, out: Path, processes: int) -> list[str]:
    """What a user types; only the launcher differs."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    start = [sys.executable, *(launcher if processes > 1 else []), "-m", "edgebert", "run"]
    return [*start, str(recipe), "--out", str(out), "--until", "student"]


def run(given: argparse.Namespace, recipe: Path, out: Path, processes: int) -> Trained:
    """Train, or what is left of it, and answer the test split."""
    took = out.with_suffix(".seconds")
    if not took.is_file():
        began = time.monotonic()
        subprocess.run(command(recipe, out, processes), env=os.environ | QUIET, check=True)
        took.write_text(f"{time.monotonic() - began:.1f}")
    right, answers = answered(out / "student", given.work / "test.jsonl")
    return Trained(right, answers, content_hash(out / "student"), float(took.read_text()))


def answered(student: Path, test: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """1.0 where it is right, and its answers, by torch in FP32."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(student)
    model: Any = AutoModelForSequenceClassification.from_pretrained(student)
    records = [json.loads(line) for line in test.read_text("utf-8").splitlines()]
    found = []
    with torch.inference_mode():
        for start in range(0, len(records), 64):
            texts = [record["text"] for record in records[start : start + 64]]
            given = tokenizer(texts, padding=True, truncation=True, max_length=32, return_tensors="pt")
            found.append(model(**given).logits.argmax(dim=-1).numpy())
    answers = np.concatenate(found)
    wanted = np.array([model.config.label2id[record["intent"]] for record in records])
    return (answers == wanted).astype(np.float64), answers


def killed(recipe: Path, out: Path, processes: int) -> str:
    """SIGKILL one process in the middle of the training; what the last checkpoint was."""
    launcher = subprocess.Popen(command(recipe, out, processes), env=os.environ | QUIET)
    pattern = ".edgebert/work/student-*/training/distil/checkpoint-*/sealed.json"
    while not (found := list(out.glob(pattern))):
        if launcher.poll() is not None:
            raise SystemExit("the training ended before its first checkpoint: give it more --epochs")
        time.sleep(0.1)
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    launcher.wait()
    return found[-1].parent.name.rpartition("-")[2]


def seeds_interval(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of their mean."""
    error = float(stats.sem(values))
    low, high = stats.t.interval(0.95, len(values) - 1, loc=float(np.mean(values)), scale=max(error, 1e-12))
    return float(low), float(high)


def percent(interval: tuple[float, float]) -> str:
    """`90.1 to 92.3 %`."""
    return f"{interval[0]:.2%} to {interval[1]:.2%}"


def markdown(given: argparse.Namespace, one: dict[int, Trained], more: dict[int, Trained], resumed: str) -> str:
    """One row a seed."""
    name = f"{given.processes} processes"
    lines = [
        f"| seed | one process | {name} | same answers | one, s | {given.processes}, s |",
        "|--:|:--|:--|--:|--:|--:|",
    ]
    for seed, alone in one.items():
        other = more[seed]
        told = []
        for trained in (alone, other):
            found = mean_interval(trained.right)
            told.append(f"{trained.metric:.2%} ({percent((found.low, found.high))})")
        same = float((alone.answers == other.answers).mean())
        lines.append(f"| {seed} | {told[0]} | {told[1]} | {same:.2%} | {alone.seconds:.0f} | {other.seconds:.0f} |")
    alone_s, more_s = [[t.metric for t in found.values()] for found in (one, more)]
    wide = seeds_interval(alone_s)
    within = "within" if wide[0] <= np.mean(more_s) <= wide[1] else "outside"
    apart = [b - a for a, b in zip(alone_s, more_s, strict=True)]
    both = seeds_interval(apart)
    pairs = list(combinations([trained.answers for trained in one.values()], 2))
    seeds = float(np.mean([(a == b).mean() for a, b in pairs]))
    facts = linux_facts()
    versions = ", ".join(f"{tool} {version}" for tool, version in tools("torch", "transformers", "accelerate").items())
    return "\n".join([
        *lines, "",
        f"Mean over seeds: {np.mean(alone_s):.2%} by one process (95 % interval {percent(wide)}), "
        f"{np.mean(more_s):.2%} by {given.processes}: {within} it. "
        f"Difference, seed by seed: {100 * np.mean(apart):+.2f} points "
        f"({100 * both[0]:+.2f} to {100 * both[1]:+.2f}).", "",
        f"Students of two seeds give the same answer to {seeds:.2%} of the texts: their metrics may be equal, they are "
        "not.", "",
        resumed, "",
        f"{given.labels} labels of CLINC150, {len(next(iter(one.values())).right)} test texts; {given.train} training "
        f"texts a label, {given.epochs} epochs; gloo, one thread a process, all on one core: the seconds say what "
        f"dividing costs, not what it brings. {facts['cpu']}; {versions}.", "",
    ])  # fmt: skip


def main() -> None:
    """Train, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, default=ROOT.parent / "shared" / "models" / "minilm-clinc150")
    parser.add_argument("--data", type=Path, default=ROOT / "build" / "clinc150-data")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--labels", type=int, default=30)
    parser.add_argument("--train", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "torchrun")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "torchrun")
    given = parser.parse_args()
    seeds = [int(seed) for seed in given.seeds.split(",")]
    if len(seeds) < 2 or given.processes < 2:
        parser.error("give at least two seeds and two processes: --seeds 0,1,2 --processes 2")
    given.work.mkdir(parents=True, exist_ok=True)
    part_of(given.data, given.work, given.labels, given.train)
    one, more = {}, {}
    for seed in seeds:
        recipe = recipe_of(given, seed)
        one[seed] = run(given, recipe, given.work / f"one-{seed}", 1)
        more[seed] = run(given, recipe, given.work / f"together-{seed}", given.processes)
    first, out = seeds[0], given.work / f"killed-{seeds[0]}"
    told = out.with_suffix(".step")
    if not told.is_file():
        told.write_text(killed(given.work / f"seed-{first}.yaml", out, given.processes))
    again = run(given, given.work / f"seed-{first}.yaml", out, given.processes)
    same = again.content == more[first].content
    table = markdown(given, one, more, (
        f"One of {given.processes} processes was killed with SIGKILL after the checkpoint of step {told.read_text()}; "
        f"the same command went on and came to {'the same student, byte for byte' if same else 'ANOTHER student'} "
        f"({again.metric:.2%})."
    ))  # fmt: skip
    print(table)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "torchrun.md").write_text(table, "utf-8")


if __name__ == "__main__":
    main()
