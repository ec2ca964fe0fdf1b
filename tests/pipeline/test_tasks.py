"""The whole flow for each kind of task, on small data: from recipe to report, and a prediction from each format."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import TASKS, records_for

import edgebert
from edgebert import tasks
from edgebert.teacher import Teacher

pytestmark = pytest.mark.slow
SCRATCH = {"layers": 2, "hidden_size": 32, "heads": 2, "intermediate_size": 64, "vocabulary": 200}
FIGURES = {
    "single-label": {"ece"},
    "out-of-scope": {"ece", "in_scope_accuracy", "oos_auroc", "oos_recall"},
    "multi-label": {"macro_f1", "exact_match"},
    "regression": {"spearman", "rmse"},
    "pair": {"ece"},
    "tokens": {"precision", "recall"},
    "answers": {"exact_match"},
    "no-answer": {"exact_match", "no_answer_accuracy"},
    "embeddings": {"recall@1", "recall@10", "cosine_to_student"},
}
#: What an artifact keeps that validation records decided.
TUNED = {"single-label": ("temperature",), "out-of-scope": ("temperature", "threshold")}
TUNED |= {"multi-label": ("thresholds",), "no-answer": ("no_answer_threshold",)}


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_from_recipe_to_report(
    kind: str, make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path: Path
) -> None:
    task = TASKS[kind]
    rows = records_for(task, records)
    if kind == "tokens":
        rows = [{**row, "tags": ["B-thing" if len(word) > 4 else "O" for word in row["tokens"]]} for row in rows]
    parts = {"train": rows, "validation": rows[::3], "test": rows[1::3]}
    if kind == "out-of-scope":  # a label that the training split does not have
        for name in ("validation", "test"):
            parts[name] = parts[name] + [{"text": f"engine {i} number {i * 7}", "label": "oos"} for i in range(8)]
    for name, part in parts.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), "utf-8")
    extra = {"text_pair": "text_pair"} if kind == "pair" else {}
    options = {
        key: value for key, value in tasks.settings_of(task).items() if key in task.options and value is not None
    }
    teacher: Any = {"scratch": SCRATCH, "epochs": 20, "lr": 2e-3}
    if kind == "pair":  # from a body in a folder that is relative to the recipe's, and could be a hub id
        shutil.copytree(make_teacher("bert", layers=2, task=task).path, tmp_path / "models" / "body")
        teacher = {"base": "models/body", "epochs": 3, "lr": 2e-3}
    if kind == "embeddings":
        teacher = str(make_teacher("bert", layers=2, task=task, initializer_range=0.3).path)
    recipe = {
        "task": task.name, "options": options, "teacher": teacher,
        "data": {name: {"path": f"{name}.jsonl", **extra} for name in ("train", "validation", "test")},
        "lengths": [16, 32], "student": {"layers": 1}, "distill": {"epochs": 1, "layerwise_epochs": 1},
        "measure": {"launches": 1, "samples": 10, "repeats": 0}, "gates": {"max_metric_drop": None},
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), "utf-8")
    report = edgebert.run(tmp_path / "recipe.yaml", out=tmp_path / "out")
    assert report is not None and len(report.results) == 5
    for result in report.results:
        assert result.metric is not None and result.metric.name == task.metric
        assert result.metric.low <= result.metric.value <= result.metric.high
        assert set(result.figures) == FIGURES[kind]
    question = {role: rows[0].get(role, "please rain") for role in task.roles}
    answers, kept = [], []
    for name in ("onnx-int8", "openvino-int8", "tflite-int8"):
        with edgebert.load(tmp_path / "out" / "artifacts" / name) as model:
            answers.append(model.predict(question))
            kept.append(model.task)
    assert len({type(answer) for answer in answers}) == 1
    for name in TUNED.get(kind, ()):  # on validation, of the exported model itself
        assert all(getattr(found, name) != getattr(task, name) for found in kept), kept
    if kind == "embeddings":
        assert min(result.figures["cosine_to_student"] for result in report.results[2:]) > 0.98
