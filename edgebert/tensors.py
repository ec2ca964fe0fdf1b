"""Windows of tokens as what engines take."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgebert.tasks import Encoded


def tensors(window: Encoded, inputs: Sequence[str], lengths: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """One window's int64 inputs [1, length], padded with 0 to the smallest of `lengths` (if any) that holds it."""
    used = len(window.input_ids)
    length = lengths[min(bisect_left(lengths, used), len(lengths) - 1)] if lengths else used
    filled = {}
    for name in inputs:
        array = np.zeros((1, length), dtype=np.int64)
        if name == "attention_mask":
            array[0, :used] = 1
        else:
            array[0, :used] = window.input_ids if name == "input_ids" else window.token_type_ids
        filled[name] = array
    return filled
