"""The plan of a training: every example once an epoch, like lengths together, all from the seed."""

from __future__ import annotations

import numpy as np
import pytest

from edgebert.compress.batches import WINDOW, Examples, Plan, Ragged, digest, encode, pad
from edgebert.compress.noise import shuffled
from edgebert.compress.objectives import IGNORED
from edgebert.errors import DataError
from edgebert.tasks.text_classification import TextClassification
from edgebert.teacher import Teacher
from edgebert.tokenization import load_tokenizer

LENGTHS = np.random.default_rng(0).integers(3, 60, 1003).tolist()


def plan(lengths: list[int], **settings: int) -> list[list[tuple[int, int]]]:
    return list(Plan(lengths, **settings))


def reference(lengths: list[int], epochs: int, size: int, seed: int) -> list[list[tuple[int, int]]]:
    """The same in plain lists, all at once."""
    batches: list[list[tuple[int, int]]] = []
    for epoch in range(epochs):
        order = shuffled(len(lengths), seed, epoch, 0).tolist()
        cut = []
        for start in range(0, len(order), size * WINDOW):
            window = sorted(order[start : start + size * WINDOW], key=lambda i: lengths[i])
            cut += [[(epoch, i) for i in window[at : at + size]] for at in range(0, len(window), size)]
        batches += [cut[i] for i in shuffled(len(cut), seed, epoch, 1)]
    return batches


@pytest.mark.parametrize(("count", "size"), [(1003, 16), (1003, 7), (5, 8), (800, 8), (1, 1)])
def test_the_plan_is_that_of_plain_lists(count: int, size: int) -> None:
    expected = reference(LENGTHS[:count], epochs=3, size=size, seed=5)
    batches = Plan(LENGTHS[:count], epochs=3, size=size, seed=5)
    assert list(batches) == expected
    assert batches[-1] == expected[-1] and batches[1:3] == expected[1:3]
    with pytest.raises(IndexError):
        batches[len(expected)]


def test_each_example_once_an_epoch() -> None:
    batches = plan(LENGTHS, epochs=3, size=16, seed=5)
    assert len(batches) == 3 * 63
    assert sorted(pair for batch in batches for pair in batch) == [(e, i) for e in range(3) for i in range(1003)]
    assert batches == plan(LENGTHS, epochs=3, size=16, seed=5)
    assert batches != plan(LENGTHS, epochs=3, size=16, seed=6)
    assert len(Plan([], epochs=3, size=16, seed=5)) == len(Plan(LENGTHS, epochs=0, size=16, seed=5)) == 0


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


def test_records_are_streamed_and_a_label_out_of_scope_is_left_out(teacher: Teacher) -> None:
    task = TextClassification(out_of_scope="none")
    rows = [{"text": "the lamp", "label": "music"}, {"text": "a song", "label": "none"}, {"text": "rain, please"}]
    examples = encode((row for row in rows), teacher.path, task, teacher.labels, 20)
    tokenizer = load_tokenizer(teacher.path, 20)
    assert [row.tolist() for row in examples.ids] == [tokenizer.encode(rows[i]["text"]).ids for i in (0, 2)]
    assert [target.tolist() for target in examples.targets] == [1, IGNORED]
    with pytest.raises(DataError, match="nothing to train on"):
        encode(rows[1:2], teacher.path, task, teacher.labels, 20)


def test_digest_tells_every_difference_apart() -> None:
    def examples(ids: list[int], ends: list[int], targets: list[int]) -> Examples:
        return Examples(Ragged(np.array(ids, np.uint16), np.array(ends)), None, np.array(targets))

    found = [
        digest(examples(ids, ends, targets))
        for ids, ends, targets in (
            ([1, 2, 3], [1, 3], [0, 1]), ([1, 2, 4], [1, 3], [0, 1]), ([1, 2, 3], [2, 3], [0, 1]),
            ([1, 2, 3], [1, 3], [1, 1]), ([1, 2, 3], [1, 3], [[0], [1]]),
        )
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert digest(examples([1, 2, 3], [1, 3], [0, 1])) == found[0]
