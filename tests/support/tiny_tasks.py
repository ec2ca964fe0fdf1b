"""Every kind of task, with records for tiny models: what tests are parametrized over."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from edgebert.tasks import Task
from edgebert.tasks.embeddings import Embeddings
from edgebert.tasks.question_answering import QuestionAnswering
from edgebert.tasks.text_classification import TextClassification
from edgebert.tasks.token_classification import TokenClassification

LABELS = ("lights", "music", "weather")
TAGS = ("O", "B-thing", "I-thing", "B-wish", "I-wish")

SINGLE = TextClassification()
TASKS: dict[str, Task] = {
    "single-label": SINGLE,
    "out-of-scope": TextClassification(out_of_scope="oos"),
    "multi-label": TextClassification(problem="multi-label"),
    "regression": TextClassification(problem="regression"),
    "pair": TextClassification(pair=True),
    "tokens": TokenClassification(),
    "answers": QuestionAnswering(),
    "no-answer": QuestionAnswering(no_answer=True),
    "embeddings": Embeddings(),
}


def records_for(task: Task, records: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Records of the task, made of those of the tiny data set."""
    if task.name == "token-classification":
        return [{"tokens": r["text"].split(), "tags": ["O"] * len(r["text"].split())} for r in records]
    if task.name == "question-answering":
        texts = [r["text"] for r in records]
        rows: list[dict[str, Any]] = [
            {"question": a, "context": f"{b} {a}", "answers": [{"text": b, "answer_start": 0}]}
            for a, b in pairwise(texts)
        ]
        if getattr(task, "no_answer", False):
            rows = [row if i % 4 else {**row, "answers": []} for i, row in enumerate(rows, 1)]
        return rows
    if task.name == "embeddings":
        return [{"text": r["text"]} for r in records]
    problem, pair = getattr(task, "problem", ""), {"text_pair": "the rain now"} if task.segments else {}
    label: dict[str, Callable[[str], Any]] = {"multi-label": lambda x: [x], "regression": lambda x: 3.0 * len(x)}
    return [{"text": r["text"], **pair, "label": label.get(problem, str)(r["label"])} for r in records]
