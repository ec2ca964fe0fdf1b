"""The plan of a training: every example once an epoch, like lengths together, all from the seed."""

from __future__ import annotations

import numpy as np
import pytest

from edgebert.compress.batches import encode, pad, plan
from edgebert.errors import DataError
from edgebert.tasks.text_classification import TextClassification
from edgebert.teacher import Teacher

LENGTHS = np.random.default_rng(0).integers(3, 60, 1003).tolist()


def test_each_example_once_an_epoch() -> None:
    batches = plan(LENGTHS, epochs=3, size=16, seed=5)
    assert len(batches) == 3 * 63
    assert sorted(pair for batch in batches for pair in batch) == [(e, i) for e in range(3) for i in range(1003)]
    assert batches == plan(LENGTHS, epochs=3, size=16, seed=5)
    assert batches != plan(LENGTHS, epochs=3, size=16, seed=6)


def test_a_longer_training_begins_like_a_shorter_one() -> None:
    assert plan(LENGTHS, epochs=3, size=16, seed=5)[:63] == plan(LENGTHS, epochs=1, size=16, seed=5)
    assert plan(LENGTHS, epochs=3, size=16, seed=5, max_steps=10) == plan(LENGTHS, epochs=1, size=16, seed=5)[:10]


def test_little_padding_and_yet_a_random_order() -> None:
    batches = plan(LENGTHS, epochs=1, size=16, seed=5)
    padded = sum(len(batch) * max(LENGTHS[i] for _, i in batch) for batch in batches)
    assert padded < 1.1 * sum(LENGTHS)
    longest = [max(LENGTHS[i] for _, i in batch) for batch in batches]
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.3


def test_pad() -> None:
    ids, mask = pad([[5, 6, 7], [8]], value=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_encode_cuts_at_the_length_asked_for(teacher: Teacher) -> None:
    records = [{"text": "please lamp " * 30, "label": "music"}]
    examples = encode(records, teacher.path, TextClassification(), teacher.labels, 20)
    assert len(examples.ids[0]) == 20
    assert [target.tolist() for target in examples.targets] == [1]


@pytest.mark.parametrize(
    ("rows", "message"),
    [([], "nothing to train on"), ([{"text": "a", "label": "sports"}], "the label 'sports' is not one of the 3")],
)
def test_unusable_records(teacher: Teacher, rows: list[dict[str, str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode(rows, teacher.path, TextClassification(), teacher.labels, 20)
