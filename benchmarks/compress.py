"""What each choice of compression costs and brings: `python benchmarks/compress.py`, resumable.

On CLINC150 and WNUT-17 it distils students over a grid (depth × width × vocabulary × losses), and over seeds with and
without single ingredients, exports each to INT8, measures it here, and writes size and latency against the metric as
Markdown with figures. First, once:

    python benchmarks/convert_clinc150.py ../shared/data/clinc150/data_full.json build/clinc150-data

By default a part of the data, few epochs, two levels of each factor in a half-fraction of the grid (8 of 16 cells: each
main effect stands clear of all pairs of factors), and four ingredients. `--full`: all data, all levels in all
combinations, every ingredient; days on two cores. Each cell's result is kept as JSON in `--work` and not made again; a
cell that was ended goes on from its checkpoint. `--dry-run` lists the cells.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from compress_report import write_report

from edgebert import data, metrics, pipeline, stages, tasks
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.devices.facts import linux_facts
from edgebert.errors import EdgebertError
from edgebert.exporting import export_artifact
from edgebert.progress import Lines
from edgebert.recipe import SplitSpec
from edgebert.statistics import percentiles

#: Raised by hand when a cell of the same recipe would come out otherwise.
VERSION = 1
CALIBRATION = 300
Section = Mapping[str, Any]


@dataclass(frozen=True)
class DataSet:
    """A data set with its teacher, and how much of it is taken by default."""

    task: str
    teacher: str
    files: Mapping[str, Section]
    lengths: Sequence[int]
    train: int
    test: int
    epochs: int
    vocabulary: Sequence[Section]


@dataclass(frozen=True)
class Cell:
    """One student: where it belongs, its levels by factor or what differs from the base, and its recipe's sections."""

    data: str
    part: str  # grid, ablation or teacher
    levels: Mapping[str, str]
    student: Section
    distill: Section

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.data} {self.part}: " + ", ".join(
            f"{key} {value or 'nothing'}" for key, value in self.levels.items()
        )


#: Of two levels the default takes the first two.
DEPTH = [{"layers": 3}, {"layers": 2}, {"layers": 4}, {"layers": 6}]
WIDTH = [
    {"hidden_size": 256, "heads": 8, "intermediate_size": 512},
    {"hidden_size": 192, "heads": 6, "intermediate_size": 384},
    {"intermediate_size": 768},
]
LOSSES = [
    {"losses": {"logits": 1.0, "hidden": 1.0}},
    {"losses": {"logits": 1.0}},
    {"losses": {"logits": 1.0, "hidden": 1.0, "relations": 1.0}, "relation_heads": 4},
]
PRUNED: Section = {"vocabulary": "prune"}
KEPT: Section = {"vocabulary": "keep"}

DATA = {
    "clinc150": DataSet(
        "text-classification", "models/minilm-clinc150",
        {n: {"path": f"{n}.jsonl", "label": "intent"} for n in ("train", "validation", "test")},
        (16, 32, 64), 3000, 1500, 8, ({**PRUNED}, {**PRUNED, "pieces": 4000}, KEPT),
    ),
    "wnut17": DataSet(
        "token-classification", "models/minilm-wnut17",
        {"train": {"path": "wnut17train.conll"}, "validation": {"path": "emerging.dev.conll"},
         "test": {"path": "emerging.test.annotated", "format": "conll"}},
        (32, 64, 128), 1500, 1287, 5, (KEPT, PRUNED, {**PRUNED, "pieces": 6000}),
    ),
}  # fmt: skip

#: Ingredient -> (whether the base has it, what changes where it is left out or added). By default the first four.
INGREDIENTS: Mapping[str, tuple[bool, Mapping[str, Section]]] = {
    "hidden states' loss": (True, {"distill": {"losses": {"logits": 1.0}}}),
    "word-piece noise": (True, {"distill": {"noise": 0.0}}),
    "the teacher's weights": (True, {"student": {"init": "random"}}),
    "a layerwise epoch": (False, {"distill": {"layerwise_epochs": 1}}),
    "soft answers": (True, {"distill": {"losses": {"label": 1.0, "hidden": 1.0}}}),
    "relations": (
        False,
        {"distill": {"losses": {"logits": 1.0, "hidden": 1.0, "relations": 1.0}, "relation_heads": 4}},
    ),
    "temperature 2": (True, {"distill": {"temperature": 1.0}}),
    "focus": (False, {"distill": {"focus": 1.0}}),
    "intermediate epochs": (False, {"distill": {"intermediate_epochs": 1}}),
    "fresh noise": (True, {"distill": {"copies": 1}}),
    "typos": (False, {"distill": {"augment": {"typos": 0.1}}}),
    "smaller pieces": (False, {"distill": {"augment": {"pieces": 0.1}}}),
    "other words": (False, {"distill": {"augment": {"words": 0.2}}}),
}


def cells_of(name: str, *, full: bool, seeds: int, epochs: int, precision: str) -> Iterator[Cell]:
    """The cells of a data set: the teacher, the grid, and the ablation; some of them may have the same recipe."""
    known = DATA[name]
    base = {"epochs": epochs, "lr": 7e-4, "precision": precision, "seed": 0}
    yield Cell(name, "teacher", {"as": "INT8"}, {"layers": None, **KEPT}, {"epochs": 0})
    factors: dict[str, Sequence[Section]] = {
        "layers": DEPTH, "width": WIDTH, "vocabulary": known.vocabulary, "losses": LOSSES,
    }  # fmt: skip
    sizes = [len(levels) if full else 2 for levels in factors.values()]
    for chosen in product(*(range(size) for size in sizes)):
        if not full and sum(chosen) % 2:
            continue
        picked = {factor: levels[i] for (factor, levels), i in zip(factors.items(), chosen, strict=True)}
        student = {**picked["layers"], **picked["width"], **picked["vocabulary"]}
        levels = {factor: _said(level) for factor, level in picked.items()}
        yield Cell(name, "grid", levels, student, {**base, **picked["losses"]})
    student = {**DEPTH[0], **WIDTH[0], **known.vocabulary[0]}
    for seed in range(seeds):
        plain = {**base, **LOSSES[0], "seed": seed}
        yield Cell(name, "ablation", {"changed": "", "seed": str(seed)}, student, plain)
        for ingredient in list(INGREDIENTS)[: None if full else 4]:
            change = INGREDIENTS[ingredient][1]
            distill = {**plain, **change.get("distill", {})}
            # What is spent on another stage is taken from the last one: as many epochs in all.
            spent = distill.get("layerwise_epochs", 0) + distill.get("intermediate_epochs", 0)
            distill["epochs"] = epochs - spent
            levels = {"changed": ingredient, "seed": str(seed)}
            yield Cell(name, "ablation", levels, {**student, **change.get("student", {})}, distill)


def _said(level: Section) -> str:
    """A level in few words."""
    if "layers" in level:
        return str(level["layers"])
    if "losses" in level:
        return "+".join(level["losses"])
    if "vocabulary" in level:
        return (
            f"{level['pieces']} pieces"
            if "pieces" in level
            else {"prune": "task", "keep": "whole"}[level["vocabulary"]]
        )
    return f"{level.get('hidden_size', 'whole')}/{level['intermediate_size']}"


def write_data(name: str, arguments: argparse.Namespace, folder: Path) -> dict[str, str]:
    """The splits of a data set that are used, as JSON lines; gives back their hashes."""
    known = DATA[name]
    source = arguments.clinc150 if name == "clinc150" else arguments.shared / "data" / name
    task = tasks.get(known.task, {})
    folder.mkdir(parents=True, exist_ok=True)
    most = {
        "train": arguments.examples or known.train,
        "test": arguments.tests or known.test,
        "validation": CALIBRATION,
    }
    hashes = {}
    for split, spec in known.files.items():
        records = data.read_split(SplitSpec(**spec), source, task)
        share = 1.0 if arguments.full and split != "validation" else min(1.0, most[split] / len(records))
        chosen = records if share == 1.0 else data.split_off(records, share, 0)[1]
        rows = [{role: record[role] for role in task.columns} for record in chosen]
        hashes[split] = stages.digest(rows)
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, "utf-8")
    return hashes


def recipe_of(cell: Cell, shared: Path, folder: Path) -> dict[str, Any]:
    """The cell's recipe; `folder` has its data."""
    known = DATA[cell.data]
    return {
        "task": known.task, "teacher": str((shared / known.teacher).resolve()), "lengths": list(known.lengths),
        "data": {split: {"path": str((folder / f"{split}.jsonl").resolve())} for split in known.files},
        "student": dict(cell.student), "distill": dict(cell.distill),
    }  # fmt: skip


def run(cell: Cell, recipe: Section, work: Path, format: str, progress: Lines) -> dict[str, Any]:
    """Distil, export to INT8, measure; what came out, as plain JSON."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "recipe.yaml").write_text(json.dumps(recipe), "utf-8")
    started = time.monotonic()
    pipeline.run(work / "recipe.yaml", out=work / "run", until="student", progress=progress)
    trained = time.monotonic()
    validation, test = (Path(recipe["data"][split]["path"]) for split in ("validation", "test"))
    artifact = export_artifact(
        work / "run" / "student", task=recipe["task"], format=format, precision="int8", lengths=recipe["lengths"],
        calibration=validation, tuning=validation, target=work / "artifact", log=work / "export.log",
    )  # fmt: skip
    exported = time.monotonic()
    records = data.read_split(SplitSpec(path=test.name), test.parent, tasks.get(recipe["task"], {}))
    plan = Plan(launches=2, samples=200, lengths=tuple(recipe["lengths"][:2]))
    with connected("local") as device:
        [found] = measure_all([Candidate("cell", "artifact", artifact)], device, records, plan, progress)
    assert found.metric is not None and found.units is not None
    figure = metrics.interval(found.metric, found.units)
    return {
        "data": cell.data, "part": cell.part, "levels": dict(cell.levels), "student": dict(cell.student),
        "distill": dict(cell.distill), "format": f"{format}-int8", "parameters": found.parameters,
        "model_bytes": found.model_bytes, "latency_ms": percentiles(found.latency_ms)["p50"],
        "engine_ms": {length: percentiles(taken)["p50"] for length, taken in found.engine_ms.items()},
        "metric": {"name": found.metric, "value": figure.value, "low": figure.low, "high": figure.high},
        "units": [list(row) for row in found.units], "invalid": list(found.invalid),
        "cpu": found.facts_before.get("cpu"), "engine": found.engine,
        "seconds": {"student": trained - started, "export": exported - trained, "measure": time.monotonic() - exported},
    }  # fmt: skip


def main() -> None:
    """Run what is missing, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder of real data and models")
    parser.add_argument("--clinc150", type=Path, default=Path("build/clinc150-data"))
    parser.add_argument("--work", type=Path, default=Path("build/compress"), help="results, and what is unfinished")
    parser.add_argument("--report", type=Path, default=Path("docs"), help="a folder for compress.md and its figures")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--data", choices=sorted(DATA), action="append", help="only this data set; may be given twice")
    parser.add_argument("--part", choices=["teacher", "grid", "ablation"], action="append", help="likewise")
    parser.add_argument("--format", choices=["onnx", "openvino", "tflite"], default="onnx")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="of each student, instead of what is usual")
    parser.add_argument("--examples", type=int, help="to learn from, instead of what is usual")
    parser.add_argument("--tests", type=int, help="to be judged by, likewise")
    parser.add_argument("--cells", type=int, help="stop after so many new ones")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="default: bf16 where the processor has it")
    parser.add_argument("--dry-run", action="store_true")
    arguments = parser.parse_args()
    fast = {"amx_bf16", "avx512_bf16"} & set(linux_facts().get("features", ()))
    precision = arguments.precision or ("bf16" if fast else "fp32")
    kept, results, missing = arguments.work / "cells", [], []
    for name in arguments.data or sorted(DATA):
        hashes = write_data(name, arguments, arguments.work / name)
        epochs = arguments.epochs or DATA[name].epochs * (2 if arguments.full else 1)
        wanted = cells_of(name, full=arguments.full, seeds=arguments.seeds, epochs=epochs, precision=precision)
        for cell in wanted:
            if arguments.part and cell.part not in arguments.part:
                continue
            recipe = recipe_of(cell, arguments.shared, arguments.work / name)
            said = {**recipe, "data": hashes, "teacher": DATA[name].teacher}
            key = stages.digest([VERSION, arguments.format, said])[:16]
            results.append((cell, kept / f"{key}.json"))
            if not results[-1][1].is_file() and key not in {other for _, _, other in missing}:
                missing.append((cell, recipe, key))
    print(f"{len(results)} cells, {len(missing)} to make, {precision}", file=sys.stderr)
    if arguments.dry_run:
        print("\n".join(f"{'kept   ' if path.is_file() else 'missing'} {cell.name}" for cell, path in results))
        return
    taken: list[float] = []
    for number, (cell, recipe, key) in enumerate(missing[: arguments.cells]):
        left = f", about {median(taken) * (len(missing) - number) / 60:.0f} min left" if taken else ""
        print(f"{number + 1} of {len(missing)}: {cell.name}{left}", file=sys.stderr, flush=True)
        started, folder = time.monotonic(), arguments.work / "unfinished" / key
        try:
            stages.write_json(kept / f"{key}.json", run(cell, recipe, folder, arguments.format, Lines()))
        except EdgebertError as error:  # the others are worth having; the next run tries this one again
            print(f"{cell.name} failed: {error.message}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        taken.append(time.monotonic() - started)
    found = [
        json.loads(path.read_text("utf-8")) | {"part": cell.part, "levels": dict(cell.levels)}
        for cell, path in results
        if path.is_file()
    ]
    has = {name: base_has for name, (base_has, _) in INGREDIENTS.items()}
    for path in write_report(found, has, len(results), arguments.report, " ".join(sys.argv)):
        print(path)


if __name__ == "__main__":
    main()
