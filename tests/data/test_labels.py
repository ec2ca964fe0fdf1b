"""Labels that are known, and examples that are split off."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_tasks import SINGLE

from edgebert.data import Record, check_labels, labels_of, split_off
from edgebert.errors import DataError


def records(*labels: str) -> list[Record]:
    return [{"text": f"text {n}", "label": label, "line": n} for n, label in enumerate(labels, 1)]


def test_labels_are_sorted() -> None:
    assert labels_of(records("b", "a", "b", "C"), SINGLE) == ["C", "a", "b"]


def test_known_labels_pass() -> None:
    check_labels(records("a", "b"), ["b", "a", "c"], "train.csv", SINGLE)


def test_all_unknown_labels_are_told_at_once() -> None:
    with pytest.raises(DataError) as caught:
        check_labels(records("weather", "wether", "zzz", "wether"), ["weather", "music"], "test.csv", SINGLE)
    assert caught.value.message.splitlines() == [
        "test.csv:2: unknown label 'wether' (2 rows; did you mean 'weather'?)",
        "test.csv:3: unknown label 'zzz' (1 row)",
    ]
    assert caught.value.hint == "the 2 known labels are: music, weather"


def test_a_flood_of_unknown_labels_is_cut() -> None:
    with pytest.raises(DataError) as caught:
        check_labels(records(*(f"x{n}" for n in range(50))), [f"label {n}" for n in range(150)], "test.csv", SINGLE)
    assert len(caught.value.message.splitlines()) == 21
    assert caught.value.message.endswith("test.csv: and 30 more unknown labels")
    assert caught.value.hint.startswith("the 150 known labels are: label 0, ") and caught.value.hint.endswith(", …")


def test_the_split_is_stratified_and_repeatable() -> None:
    whole = records(*["a"] * 600, *["b"] * 300, *["c"] * 100)
    rest, part = split_off(whole, 0.1, seed=0)
    assert Counter(record["label"] for record in part) == {"a": 60, "b": 30, "c": 10}
    assert split_off(whole, 0.1, seed=0) == (rest, part)
    assert split_off(whole, 0.1, seed=1)[1] != part
    assert sorted([*rest, *part], key=lambda record: record["line"]) == whole
    assert [record["line"] for record in rest] == sorted(record["line"] for record in rest)


def test_the_choice_does_not_hang_on_the_order_of_the_file() -> None:
    whole = records(*["a"] * 50, *["b"] * 50)
    part = split_off(whole, 0.2, seed=0)[1]
    moved = split_off([{**record, "line": 101 - record["line"]} for record in reversed(whole)], 0.2, seed=0)[1]
    assert {record["text"] for record in part} == {record["text"] for record in moved}


def test_this_very_choice() -> None:
    # Whoever changes it changes the results of every recipe without a validation file.
    part = split_off(records(*["a"] * 30), 0.1, seed=0)[1]
    assert [record["line"] for record in part] == [2, 7, 8]


@example(list("aabc"), 0.25, 0)  # what is owed by b and c, which have nothing to give
@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=200), st.floats(0.05, 0.95), st.integers(0, 9))
def test_every_label_stays_in_the_first_part(labels: list[str], fraction: float, seed: int) -> None:
    whole = records(*labels)
    try:
        rest, part = split_off(whole, fraction, seed)
    except DataError as error:
        # Then no label could give an example away, or the fraction asks for less than one.
        assert fraction * len(labels) < 1 or max(Counter(labels).values()) == 1
        assert error.message.startswith(f"{len(labels)} examples are too few")
        return
    assert {record["label"] for record in rest} == set(labels)
    assert part and len(rest) + len(part) == len(labels)
    assert len(part) <= fraction * len(labels) + len(set(labels))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5])
def test_a_fraction_is_one(fraction: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_off(records("a", "a"), fraction, 0)
