"""Half a minute of work on a slice of the example: a teacher from scratch, one layer of it, small exports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "examples" / "intents"


def write_recipe(folder: Path, exports: Sequence[str], **sections: Mapping[str, Any]) -> Path:
    """Write it and its data; `sections` add to those of the recipe, or are new."""
    for name, count in (("train", 600), ("validation", 120), ("test", 120)):
        lines = (EXAMPLE / f"{name}.jsonl").read_text("utf-8").splitlines(keepends=True)
        step = len(lines) // count
        (folder / f"{name}.jsonl").write_text("".join(lines[::step][:count]), "utf-8")
    recipe: dict[str, Any] = {
        "task": "text-classification",
        "teacher": {
            "scratch": {"layers": 2, "hidden_size": 64, "heads": 2, "intermediate_size": 128, "vocabulary": 800},
            "epochs": 12,
            "lr": 2e-3,
        },
        "data": {name: {"path": f"{name}.jsonl", "label": "intent"} for name in ("train", "validation", "test")},
        "lengths": [16, 32],
        "student": {"layers": 1},
        "distill": {"epochs": 8},
        "export": list(exports),
        "measure": {"launches": 2, "samples": 70, "repeats": 0},
        "gates": {"max_metric_drop": None},
    }
    for name, section in sections.items():
        recipe[name] = {**recipe.get(name, {}), **section}
    path = folder / "small.yaml"
    path.write_text(json.dumps(recipe), "utf-8")
    return path


def ids(out: Path) -> dict[str, str]:
    """Of everything that a run has made, by name."""
    report = json.loads((out / "report.json").read_text("utf-8"))
    return {step["name"]: step["id"] for step in report["lineage"]}
