"""The choice of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebert.errors import DataError
from edgebert.export import calibration
from edgebert.tasks import Encoded

CLS, SEP = 2, 3


def texts(lengths: list[int]) -> list[Encoded]:
    return [Encoded([CLS, *range(10, 8 + n), SEP], [0] * n) for n in lengths]


def test_every_length_is_calibrated_even_those_that_no_text_has() -> None:
    data = calibration.batches(texts([4, 5, 6, 7, 20]), ("input_ids", "attention_mask"), (8, 32, 64), per_length=6)
    shapes = [inputs["input_ids"].shape for inputs in data]
    assert [shapes.count((1, length)) for length in (8, 32, 64)] == [6, 6, 6]
    for inputs in data:
        used = int(inputs["attention_mask"].sum())
        ids = inputs["input_ids"][0]
        assert ids[0] == CLS and ids[used - 1] == SEP and not ids[used:].any()
        assert inputs["input_ids"].dtype == np.int64


def test_a_length_without_texts_gets_a_joined_one() -> None:
    data = calibration.batches(texts([40]), ("input_ids",), (8, 64), per_length=1)
    assert [inputs["input_ids"].shape for inputs in data] == [(1, 8), (1, 64)]


def test_golden_texts_span_the_lengths() -> None:
    items = [[window] for window in texts([9, 3, 30, 12, 5, 22, 17, 4])]
    chosen = [len(items[index][0].input_ids) for index in calibration.spread_by_length(items, 4)]
    assert chosen[0] == 3 and chosen[-1] == 30 and chosen == sorted(chosen) and len(chosen) == 4
    assert len(calibration.spread_by_length(items, 100)) == len(items)
    long = [*items, texts([16] * 4)]
    assert len(items) not in calibration.spread_by_length(long, 100)  # four windows make too large a golden answer
    assert calibration.spread_by_length([texts([16] * 4)], 3) == [0, 0, 0][:1]


def test_unreadable_records_are_told(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"text": "a"}\n{broken\n')
    with pytest.raises(DataError, match=r"records\.jsonl"):
        calibration.read_records(path)
    path.write_text("\n")
    with pytest.raises(DataError, match="no text"):
        calibration.read_records(path)
