"""What the runtimes share: how they read their inputs, and what they say when they cannot run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgebert.errors import UsageError
from edgebert.protocols import Tensors


def in_order(inputs: Tensors, names: Sequence[str]) -> list[NDArray[Any]]:
    """The arrays of `names`; whatever else is given is left alone. Raises UsageError where one is missing."""
    try:
        return [inputs[name] for name in names]
    except KeyError as error:
        raise UsageError(f"the input {error} is missing", f"given: {', '.join(inputs)}") from None


def closed(engine: str) -> UsageError:
    """For a run after `close`."""
    return UsageError(f"this model of {engine} is closed", "load it again, or close it later")
