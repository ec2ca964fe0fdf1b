"""Windows of tokens as what engines take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgebert.tasks import Encoded


def tensors(window: Encoded, inputs: Sequence[str], lengths: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """One window's int64 inputs [1, length], padded with 0 to the smallest of `lengths` (if any) that holds it.

    To be read only: masks and empty token types are shared.
    """
    used = len(window.input_ids)
    length = lengths[min(bisect_left(lengths, used), len(lengths) - 1)] if lengths else used
    filled = {}
    for name in inputs:
        if name == "attention_mask":
            filled[name] = _ones_then_zeros(length)[:, length - used : 2 * length - used]
        elif name == "input_ids":
            filled[name] = _padded(window.input_ids, length)
        elif any(window.token_type_ids):
            filled[name] = _padded(window.token_type_ids, length)
        else:
            filled[name] = _ones_then_zeros(length)[:, length:]
    return filled


def _padded(values: list[int], length: int) -> NDArray[np.int64]:
    return np.array([values + [0] * (length - len(values))], dtype=np.int64)


@lru_cache(maxsize=1024)  # one for each length that a model can read, at most
def _ones_then_zeros(length: int) -> NDArray[np.int64]:
    """[1, 2 × length]: every mask of that length is a stretch of it."""
    return np.repeat(np.array([[1, 0]], dtype=np.int64), length, axis=1)
