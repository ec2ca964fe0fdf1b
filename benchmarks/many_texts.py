"""Memory that many unlabelled texts cost: `python benchmarks/many_texts.py MODEL [--texts 1000000]`.

Generates a recipe's worth of data (words of a Zipf-like vocabulary, 3 to 30 a text), then does in a process of its own
what a run does before the first step of the distillation: reads and hashes the data, prunes the vocabulary and builds
the student, makes token ids of every text and a plan of batches; last it goes through an epoch's batches as the models
would be given them. Neither model answers: what they take does not hang on the number of texts.

Prints how far the resident memory grew from where the model and the small splits were loaded to its peak, and seconds.
Megabytes are 10^6 bytes. MODEL is a folder with a BERT classifier, such as build/clinc150/student.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPE = """task: text-classification
teacher: {model}
data:
  train: {{path: train.jsonl}}
  validation: {{path: train.jsonl}}
  test: {{path: train.jsonl}}
  unlabelled: {{path: unlabelled.txt}}
student: {{layers: 1, pieces: 3000}}
lengths: [32]
"""


def write_data(folder: Path, model: Path, count: int) -> None:
    """A recipe and its data, the same each time."""
    draw = random.Random(0)
    label = json.loads((model / "config.json").read_text("utf-8"))["id2label"]["0"]
    pieces = json.loads((model / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    words = [piece for piece in pieces if piece.isalpha() and piece.isascii()]
    weights = [1.0 / (rank + 2) for rank in range(len(words))]
    (folder / "train.jsonl").write_text(json.dumps({"text": "please turn it on", "label": label}) + "\n", "utf-8")
    (folder / "recipe.yaml").write_text(RECIPE.format(model=model.resolve()), "utf-8")
    with (folder / "unlabelled.txt").open("w", encoding="utf-8") as file:
        for _ in range(count):
            file.write(" ".join(draw.choices(words, weights, k=draw.randint(3, 30))) + "\n")


def status(name: str) -> int:
    """Bytes that /proc tells of this process: VmRSS, or VmHWM for the peak."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def child(folder: Path) -> dict[str, Any]:
    """The stages up to the first step, and the batches of an epoch."""
    from itertools import chain

    import torch  # noqa: F401  (its own memory is no growth)

    from edgebert import steps, teacher
    from edgebert.compress.batches import Plan, batch_of, digest, encode
    from edgebert.compress.folder import load_model
    from edgebert.compress.student import build_student
    from edgebert.data_stream import Texts
    from edgebert.recipe import load_recipe

    recipe = load_recipe(folder / "recipe.yaml")
    task = steps.task_of(recipe)
    taught = teacher.inspect(teacher.resolve(str(recipe.teacher), recipe.folder), name="teacher", task=task)
    load_model(taught.path, task)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, begin = status("VmRSS"), time.monotonic()
    splits = steps.read_splits(recipe, task)
    texts = Texts((splits.train, splits.validation, splits.unlabelled))
    student = build_student(
        taught, recipe.student, task=task, texts=texts, max_length=recipe.max_length, out=folder / "student"
    )
    records = chain(splits.train, splits.unlabelled)
    examples = encode(records, student.path, task, taught.labels, recipe.max_length)
    digest(examples)
    plan = Plan(examples.ids.lengths, epochs=recipe.distill.epochs, size=recipe.distill.batch_size, seed=0)
    prepared = time.monotonic() - begin
    for step in range(len(plan) // recipe.distill.epochs):
        chosen = [i for _, i in plan[step]]
        batch_of([(examples, i) for i in chosen], [examples.ids[i] for i in chosen], 0, task)
    peak = status("VmHWM")
    return {
        "texts": len(splits.unlabelled), "tokens": len(examples.ids.flat), "steps": len(plan),
        "before_mb": before / 1e6, "growth_mb": (peak - before) / 1e6, "seconds": prepared,
    }  # fmt: skip


def main() -> None:
    """Print a line of Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.model)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_data(Path(folder), arguments.model, arguments.texts)
        command = [sys.executable, __file__, folder, "--child"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    if arguments.json:
        print(json.dumps(found))
        return
    print("| texts | tokens | steps | MB before | growth | seconds before the first step |")
    print("|--:|--:|--:|--:|--:|--:|")
    print(f"| {found['texts']:,} | {found['tokens']:,} | {found['steps']:,} | {found['before_mb']:.0f} | "
          f"{found['growth_mb']:+.0f} | {found['seconds']:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
