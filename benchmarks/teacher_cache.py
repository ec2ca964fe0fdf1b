"""Epochs with and without the teacher's answers on disk: `python benchmarks/teacher_cache.py TEACHER DATA`.

TEACHER is the folder of a classifier, DATA a JSONL file with `text` and `intent`, such as ../shared/models/… and
build/clinc150-data/train.jsonl. The student of the recipe section `--student` is distilled with fresh noise each epoch,
and with one noised copy (`distill.copies: 1`), taking turns, each in a process of its own. Prints the seconds of the
first epoch and the median of the later ones, and how many times quicker the later ones are with the answers on disk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

VARIANTS: dict[str, dict[str, Any]] = {"asked every epoch": {}, "kept on disk": {"copies": 1}}


class Clock:
    """A progress that notes when each step of the distillation ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Kept."""
        self.said.append(text)

    def step(self, name: str, done: float, total: float, note: str = "") -> None:
        """A step of `distil` is timed."""
        if name == "distil":
            self.ends.append(time.perf_counter())


def write_recipe(folder: Path, arguments: argparse.Namespace, also: dict[str, Any]) -> None:
    """A recipe whose distillation is timed, and its data."""
    lines = arguments.data.read_text("utf-8").splitlines()[: arguments.examples]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    split = {"path": "train.jsonl", "text": arguments.text, "label": arguments.label}
    recipe = {
        "task": "text-classification", "teacher": str(arguments.teacher.resolve()), "lengths": [arguments.length],
        "data": {"train": split, "test": split}, "student": json.loads(arguments.student),
        "distill": json.loads(arguments.distill) | {"epochs": arguments.epochs} | also,
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(json.dumps(recipe), "utf-8")


def child(folder: Path, epochs: int) -> dict[str, Any]:
    """Seconds of each epoch; the first one's first step, which loads and warms, is left out."""
    from edgebert import pipeline

    clock = Clock()
    pipeline.run(folder / "recipe.yaml", out=folder / "out", until="student", progress=clock)
    steps = len(clock.ends) // epochs
    ends = [clock.ends[0], *clock.ends[steps - 1 :: steps]]
    seconds = [after - before for before, after in pairwise(ends)]
    return {"steps": steps, "seconds": [seconds[0] * steps / (steps - 1), *seconds[1:]], "said": clock.said}


def main() -> None:
    """Print a Markdown table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--student", default='{"layers": 3, "intermediate_size": 576, "pieces": 2000}')
    parser.add_argument("--distill", default="{}", help="more keys of the distill section, as JSON")
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="intent")
    parser.add_argument("--length", type=int, default=32)
    parser.add_argument("--examples", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.teacher, arguments.epochs)))
        return
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.turns):
        for name, also in VARIANTS.items():
            with tempfile.TemporaryDirectory() as folder:
                write_recipe(Path(folder), arguments, also)
                command = [sys.executable, __file__, folder, "-", "--child", "--epochs", str(arguments.epochs)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    first = {name: median(run["seconds"][0] for run in runs) for name, runs in found.items()}
    later = {name: median(s for run in runs for s in run["seconds"][1:]) for name, runs in found.items()}
    times = later["asked every epoch"] / later["kept on disk"]
    if arguments.json:
        print(json.dumps({"runs": found, "first": first, "later": later, "times_quicker": times}))
        return
    print("| the teacher's answers | first epoch, s | later epochs, s |")
    print("|:--|--:|--:|")
    for name in VARIANTS:
        print(f"| {name} | {first[name]:.1f} | {later[name]:.1f} |")
    kept = next((text for text in found["kept on disk"][0]["said"] if "answers" in text), "")
    print(f"\nLater epochs: {times:.2f} times quicker. {kept}")


if __name__ == "__main__":
    main()
