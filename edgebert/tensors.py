"""Windows of tokens as what engines take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.tasks import Encoded

INT64 = np.dtype(np.int64)


def tensors(
    window: Encoded, inputs: Sequence[str], lengths: Sequence[int], dtype: np.dtype[Any] = INT64
) -> dict[str, NDArray[Any]]:
    """One window's inputs [1, length], padded with 0 to the smallest of `lengths` (if any) that holds it.

    To be read only: masks and empty token types are shared. `dtype`: of all of them; what an engine would convert to.
    """
    ids, types = window[0], window[1]
    used = len(ids)
    length = lengths[min(bisect_left(lengths, used), len(lengths) - 1)] if lengths else used
    mask, zeros = _mask_and_zeros(used, length, dtype)
    filled = {}
    for name in inputs:
        if name == "attention_mask":
            filled[name] = mask
        elif name == "input_ids":
            filled[name] = _padded(ids, length, dtype)
        elif 1 in types:
            filled[name] = _padded(types, length, dtype)
        else:
            filled[name] = zeros
    return filled


def _padded(values: list[int], length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.array([values + [0] * (length - len(values))], dtype)


@lru_cache(maxsize=1024)  # one for each number of tokens that a model can read, at most
def _mask_and_zeros(used: int, length: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stretches [1, length] of one array, for whatever number of tokens."""
    both = _ones_then_zeros(length, dtype)
    return both[:, length - used : 2 * length - used], both[:, length:]


@lru_cache(maxsize=1024)
def _ones_then_zeros(length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.repeat(np.array([[1, 0]], dtype), length, axis=1)
