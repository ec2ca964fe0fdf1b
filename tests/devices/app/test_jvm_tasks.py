"""The JVM's windows and decoders: the answers of Python's tasks on random outputs, whatever the text."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import odd_texts
import pytest
import tokenizers
from jvm import Jvm

from edgebert import statistics, tasks
from edgebert.errors import EdgebertError
from edgebert.tasks import Encoded, Outputs, Record, Task
from edgebert.tasks.windows import whole

LABELS = ("lights_off", "música", "weather", "灯", "alarm")
TAGS = ("O", "B-ort", "I-ort", "B-人", "I-人", "S-ort", "E-ort")
EMBEDDING = 24
TEXT, TOKENS, ANSWERS = "text-classification", "token-classification", "question-answering"

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "single-label": (TEXT, {}),
    "calibrated": (TEXT, {"temperature": 1.7}),
    "out of scope": (TEXT, {"out_of_scope": "oos", "temperature": 0.8, "threshold": 0.55}),
    "pair": (TEXT, {"pair": True}),
    "multi-label": (TEXT, {"problem": "multi-label"}),
    "thresholds": (TEXT, {"problem": "multi-label", "thresholds": [0.2, 0.5, 0.7, 0.35, 0.9]}),
    "regression": (TEXT, {"problem": "regression"}),
    "pair regression": (TEXT, {"problem": "regression", "pair": True}),
    "tokens": (TOKENS, {}),
    "tokens, stride": (TOKENS, {"stride": 2}),
    "tokens, bias": (TOKENS, {"outside_bias": 1.25}),
    "answers": (ANSWERS, {}),
    "short answers": (ANSWERS, {"max_answer_tokens": 4, "stride": 3}),
    "no answer": (ANSWERS, {"no_answer": True, "no_answer_threshold": 0.4}),
    "embeddings": ("embeddings", {}),
    "first token": ("embeddings", {"pooling": "cls", "normalize": False}),
}


def records(name: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """About 40 records of odd texts, short and long; word lists too where the task takes them."""
    texts = odd_texts.texts(40, seed=len(name))
    if name == ANSWERS:
        asked = odd_texts.texts(40, seed=77, words=(1, 12))
        return [{"question": a, "context": b} for a, b in zip(asked, texts, strict=True)] + [
            {"question": "where", "context": "\u200b"},
            {"question": "what " * 30, "context": "the answer is short"},
        ]
    if name == TOKENS:
        return [{"text": text} if number % 2 else {"tokens": text.split()} for number, text in enumerate(texts)]
    return [{"text": text, "text_pair": text[::-1]} if settings.get("pair") else {"text": text} for text in texts]


def outputs_for(task: Task, window: Encoded, draw: np.random.Generator) -> dict[str, Any]:
    """Random outputs of the shape that a model has."""
    rows = len(window.input_ids)
    problem = getattr(task, "problem", "")
    columns = {TOKENS: len(TAGS), "embeddings": EMBEDDING}.get(task.name, 1 if problem == "regression" else len(LABELS))
    shape = {TOKENS: (rows, columns), ANSWERS: (rows,)}.get(task.name, (columns,))
    return {name: draw.normal(0, 2, shape).astype(np.float32) for name in task.outputs}


def sent(task: Task, outputs: Outputs) -> dict[str, Any]:
    return {
        name: {"rows": len(array) if task.per_token else 1, "data": array.ravel().astype(float).tolist()}
        for name, array in outputs.items()
    }


def close(found: Any, wanted: Any) -> bool:
    """Equal, numbers within what rounding to six places and float32 leave."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(close(a, b) for a, b in zip(found, wanted, strict=True))
    return abs(found - wanted) <= 2e-6 if isinstance(wanted, float) else bool(found == wanted)


@pytest.mark.parametrize("most", [12, 64])
@pytest.mark.parametrize("case", TASKS)
def test_answers_are_those_of_python(jvm: Jvm, tokenizer_file: Callable[..., Path], case: str, most: int) -> None:
    name, settings = TASKS[case]
    task = tasks.get(name, settings)
    settings = tasks.settings_of(task)  # every one, so that none can be new here and unknown there
    path = tokenizer_file()
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    if not task.windowed:
        tokenizer.enable_truncation(most)
    labels = TAGS if name == TOKENS else LABELS
    draw = np.random.default_rng(most)
    seen: set[str] = set()
    for record in records(name, settings):
        windows = task.encode(tokenizer, record, most)
        outputs = [outputs_for(task, window, draw) for window in windows]
        asked = {"tokenizer": str(path), "task": name, "settings": settings, "record": record, "most": most}
        check_windows(task, jvm.ask("windows", **asked)["windows"], windows)
        found = jvm.ask("decode", **asked, outputs=[sent(task, window) for window in outputs], labels=labels)
        wanted = task.decode(record, windows, outputs, labels).to_json()
        assert close(found["answer"], wanted), (record, found["answer"], wanted)
        decided = task.decide(outputs[0])
        assert found["chosen"] == decided.chosen.tolist()
        assert np.allclose(found["margins"], decided.margins, atol=1e-9)
        seen |= what(wanted, len(windows))
    assert seen >= EXPECTED.get(case, set()), "the texts do not show what they should"


#: What the records of a case must have shown, or the comparison would be of nothing.
EXPECTED = {
    "out of scope": {"rejected", "kept"},
    "multi-label": {"one", "several"},
    "thresholds": {"one", "several"},
    "no answer": {"no answer", "answer"},
    "short answers": {"windows", "answer"},
    "tokens": {"spans"},
}


def what(answer: dict[str, Any], windows: int) -> set[str]:
    found = {"windows"} if windows > 1 else set()
    if "label" in answer:
        found.add("rejected" if answer.get("rejected") else "kept")
    if "labels" in answer:
        found.add({0: "none", 1: "one"}.get(len(answer["labels"]), "several"))
    if "start" in answer:
        found.add("no answer" if answer["start"] is None else "answer")
    if answer.get("spans"):
        found.add("spans")
    return found


def check_windows(task: Task, found: list[dict[str, Any]], wanted: list[Encoded]) -> None:
    assert len(found) == len(wanted)
    for here, there in zip(found, wanted, strict=True):
        assert (here["ids"], here["types"], here["truncated"]) == (
            there.input_ids,
            there.token_type_ids,
            there.truncated,
        )
        if task.windowed:
            assert list(zip(here["starts"], here["ends"], strict=True)) == there.offsets
            assert here["words"] == there.words


def test_whole_characters(jvm: Jvm) -> None:
    """Marks, joiners, skin tones and flags stay with what they belong to, wherever a piece ends."""
    for text in odd_texts.texts(60, seed=8, words=(1, 10)):
        for end in range(len(text) + 1):
            assert jvm.ask("whole", text=text, end=end)["end"] == whole(text, end), (text, end)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("summarization", {}),
        (TEXT, {"problem": "ranking"}),
        (TEXT, {"stride": 3}),
        ("embeddings", {"pooling": "max"}),
    ],
)
def test_unknown_tasks_and_settings_are_refused(
    jvm: Jvm, tokenizer_file: Callable[..., Path], name: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(EdgebertError):
        tasks.get(name, settings)
    record: Record = {"text": "a"}
    found = jvm.ask(
        "windows", tokenizer=str(tokenizer_file()), task=name, settings=settings, record=dict(record), most=9
    )
    assert found["error"] == "UsageError"


def test_percentiles_follow_the_same_rule(jvm: Jvm) -> None:
    """The same numbers, and none where the sample is too small to carry it."""
    draw = random.Random(1)
    for count in (0, 1, 7, 8, 63, 64, 129, 130, 661, 662, 1000):
        samples = [draw.lognormvariate(1, 0.3) for _ in range(count)]
        found = jvm.ask("percentiles", samples=samples)
        wanted = statistics.percentiles([samples])
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert found[key] == (None if value is None else pytest.approx(value, rel=1e-12)), (count, key)
