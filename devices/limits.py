"""How long devices may take: a factor of the user's on every time limit of ours."""

from __future__ import annotations

import contextlib
import os

from edgebert.errors import UsageError

#: For devices that are emulated or overloaded.
FACTOR = "EDGEBERT_TIMEOUT_FACTOR"


def timeout_factor() -> float:
    """How many times longer than usual a device may take, from EDGEBERT_TIMEOUT_FACTOR; 1 where it is not set.

    Raises:
        UsageError: it is no number from 1 to 1000.
    """
    told = os.environ.get(FACTOR) or "1"
    with contextlib.suppress(ValueError):
        if 1 <= (factor := float(told)) <= 1000:
            return factor
    raise UsageError(f"{FACTOR}={told} is no number from 1 to 1000", f"unset {FACTOR}, or set it to 10")
