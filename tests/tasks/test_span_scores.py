"""Scores of spans: seqeval's and the official SQuAD script's."""

from __future__ import annotations

import itertools
import json
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from seqeval import metrics as seqeval
from seqeval.metrics.sequence_labeling import get_entities

from edgebert import data, metrics, tasks
from edgebert.errors import UsageError
from edgebert.tasks import Answered, Encoded
from edgebert.tasks.question_answering import QuestionAnswering, _best_threshold
from edgebert.tasks.squad_scores import exact_match, f1
from edgebert.tasks.token_classification import BIASES, TokenClassification, entities

BIO = ("O", "B-a", "I-a", "B-b", "I-b")
BIOES = (*BIO, "E-a", "S-a", "E-b", "S-b")


@pytest.mark.parametrize("tags", [BIO, BIOES])
def test_entities_are_seqevals_on_a_thousand_sequences(tags: tuple[str, ...]) -> None:
    draw = random.Random(7)
    for _ in range(1000):
        sequence = draw.choices(tags, k=draw.randint(0, 15))
        assert entities(sequence) == [tuple(found) for found in get_entities(sequence)], sequence


def test_f1_is_seqevals() -> None:
    draw = random.Random(3)
    true = [draw.choices(BIO, k=draw.randint(1, 12)) for _ in range(1000)]
    found = [[tag if draw.random() < 0.7 else draw.choice(BIO) for tag in row] for row in true]
    answered = [_words(row, tags) for row, tags in zip(true, found, strict=True)]
    scored = TokenClassification().score(answered, BIO)
    assert scored.units is not None and scored.correct is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert metrics.value("f1", scored.units) == pytest.approx(seqeval.f1_score(true, found))
        assert scored.figures["precision"] == pytest.approx(seqeval.precision_score(true, found))
        assert scored.figures["recall"] == pytest.approx(seqeval.recall_score(true, found))
    assert scored.correct.mean() == np.mean([entities(a) == entities(b) for a, b in zip(true, found, strict=True)])


def _words(true: list[str], found: list[str]) -> Answered:
    """A record of one-piece words, answered with `found`."""
    count = len(true)
    window = Encoded(
        [2, *range(10, 10 + count), 3], [0] * (count + 2),
        offsets=[(0, 0), *[(2 * i, 2 * i + 1) for i in range(count)], (0, 0)], words=[-1, *range(count), -1],
    )  # fmt: skip
    rows = np.zeros((count + 2, len(BIO)), np.float32)
    for token, tag in enumerate(found, 1):
        rows[token, BIO.index(tag)] = 5
    return Answered({"tokens": ["w"] * count, "tags": true}, [window], [{"logits": rows}])


def test_squad_scores_are_the_published_ones(shared: Path) -> None:
    folder = shared / "data" / "squad"
    predictions: dict[str, str] = json.loads((folder / "predictions_v1.1" / "bert_ensemble.json").read_text("utf-8"))
    task = QuestionAnswering()
    records = [
        record
        for name in ("dev-v1.1-train36.json", "dev-v1.1-eval12.json")
        for record in data.read_task_records(folder / name, task, {})
    ]
    assert len(records) == 10_570
    truth = [[answer["text"] for answer in record["answers"]] for record in records]
    found = [predictions[record["id"]] for record in records]
    exact = np.mean([exact_match(text, texts) for text, texts in zip(found, truth, strict=True)])
    soft = np.mean([f1(text, texts) for text, texts in zip(found, truth, strict=True)])
    assert round(100 * float(exact), 2) == 86.21
    assert round(100 * float(soft), 2) == 92.20


def test_no_answer_scores_as_squad_2_does() -> None:
    assert exact_match("", []) == f1("", []) == 1.0
    assert exact_match("Paris", []) == f1("Paris", []) == 0.0
    assert f1("", ["Paris"]) == 0.0
    assert exact_match("The  Paris!", ["paris"]) == 1.0
    assert f1("in Paris France", ["Paris, France"]) == pytest.approx(0.8)


def spread_window(start: int, count: int) -> Encoded:
    """Three tokens of a question, then `count` one-character words from character 2·start on."""
    return Encoded(
        [2, 9, 3, *range(10, 10 + count), 3], [0] * 3 + [1] * (count + 1),
        offsets=[(0, 0)] * 3 + [(2 * (start + i), 2 * (start + i) + 1) for i in range(count)] + [(0, 0)],
        words=[-1] * 3 + [start + i for i in range(count)] + [-1],
    )  # fmt: skip


@pytest.mark.parametrize("no_answer", [False, True])
def test_the_best_span_by_brute_force(no_answer: bool) -> None:
    draw = np.random.default_rng(5)
    context = " ".join("abcdefghijkl")
    for _ in range(200):
        made = [spread_window(0, 8), spread_window(4, 8)]
        outputs = [
            {n: draw.normal(size=12).astype(np.float32) * 2 for n in ("start_logits", "end_logits")} for _ in made
        ]
        task = QuestionAnswering(max_answer_tokens=3, no_answer=no_answer, no_answer_threshold=0.5)
        spans = []
        for window, output in zip(made, outputs, strict=True):
            for i, j in itertools.product(range(3, 11), repeat=2):
                if 0 <= j - i < 3:
                    score = float(output["start_logits"][i]) + float(output["end_logits"][j])
                    spans.append((score, window.offsets[i][0], window.offsets[j][1]))
        null = min(float(o["start_logits"][0]) + float(o["end_logits"][0]) for o in outputs)
        top, start, end = max(spans)
        total = sum(np.exp(score) for score, _, _ in spans) + (np.exp(null) if no_answer else 0.0)
        found = task.decode({"question": "?", "context": context}, made, outputs, ())
        if no_answer and null - top > 0.5:
            assert found.text == "" and found.start is None and found.score == pytest.approx(np.exp(null) / total)
        else:
            assert (found.start, found.end) == (start, end) and found.score == pytest.approx(np.exp(top) / total)


def test_the_no_answer_threshold_is_the_best() -> None:
    draw = np.random.default_rng(2)
    margins = np.round(draw.normal(size=100), 1)
    gains = np.where(draw.random(100) < 0.5 - margins / 4, 1.0, -1.0)
    found = _best_threshold(margins, gains)
    best = max(float(gains[margins <= cut].sum()) for cut in [-100.0, *margins])
    assert float(gains[margins <= found].sum()) == best


def test_tuning_needs_no_answer_to_be_asked_for() -> None:
    task = QuestionAnswering()
    assert task.tune([], ()) is task


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("question-answering", {"max_answer_tokens": 0}), ("question-answering", {"no_answer": 1}),
        ("question-answering", {"stride": -1}), ("token-classification", {"stride": "wide"}),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        tasks.get(name, settings)


def test_settings_survive_the_manifest() -> None:
    task = QuestionAnswering(stride=7, no_answer=True, no_answer_threshold=-1.5)
    assert tasks.get("question-answering", json.loads(json.dumps(tasks.settings_of(task)))) == task


LABELS = ("O", "B-x", "I-x")


def fond_of_outside(records: int) -> list[Answered]:
    """What a model answers that takes many words of entities for O."""
    draw = np.random.default_rng(8)
    answered = []
    for _ in range(records):
        tags = [str(tag) for tag in draw.choice(LABELS, size=8, p=[0.7, 0.2, 0.1])]
        logits = draw.normal(size=(8, 3)).astype(np.float32)
        logits[np.arange(8), [LABELS.index(tag) for tag in tags]] += 2.0
        logits[:, 0] += 1.5
        window = Encoded(list(range(8)), [0] * 8, False, [(i, i + 1) for i in range(8)], list(range(8)))
        answered.append(Answered({"tokens": list("abcdefgh"), "tags": tags}, [window], [{"logits": logits}]))
    return answered


def entity_f1(bias: float, answered: list[Answered]) -> float:
    units = TokenClassification(outside_bias=bias).score(answered, LABELS).units
    assert units is not None
    right, found, true = units.sum(axis=0)
    return float(2 * right / (found + true))


def test_the_bias_against_outside_is_as_good_as_the_best_of_its_grid() -> None:
    answered = fond_of_outside(600)
    tuned = TokenClassification().tune(answered, LABELS).outside_bias
    assert 0.5 <= tuned <= 3.0
    best = max(entity_f1(bias, answered) for bias in BIASES)
    assert entity_f1(tuned, answered) > best - 0.01 > entity_f1(0.0, answered)


def test_the_bias_hangs_less_on_chance_than_the_best_of_its_grid() -> None:
    """Over halves of the records."""
    answered, draw = fond_of_outside(120), np.random.default_rng(1)
    tuned, best = [], []
    for _ in range(12):
        half = [answered[index] for index in draw.permutation(120)[:60]]
        tuned.append(TokenClassification().tune(half, LABELS).outside_bias)
        best.append(max(BIASES, key=lambda bias: entity_f1(bias, half)))
    assert np.std(tuned) < 0.7 * np.std(best) and abs(np.mean(tuned) - np.mean(best)) < 0.5


def test_without_entities_there_is_no_bias_to_tune() -> None:
    answered = fond_of_outside(5)
    empty = [Answered({**item.record, "tags": ["O"] * 8}, item.windows, item.outputs) for item in answered]
    assert TokenClassification().tune(empty, LABELS).outside_bias == 0.0
    assert TokenClassification().tune([], LABELS).outside_bias == 0.0
