"""Smaller parts of a report: moments of a measurement, comparisons of two runs, devices that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from edgebert.comparison import Word

_OPTIONAL = {"optional": True}


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How a measurement went on: some samples in a row, and the machine at their end."""

    launch: Annotated[int, "of the measurement, from 0"]
    seconds: Annotated[float, "since the first launch began to measure"]
    ms: Annotated[float, "median latency of these samples, texts of other lengths made comparable"]
    mhz: Annotated[float | None, "frequency of the quickest CPU that it may use"] = field(
        default=None, metadata=_OPTIONAL
    )
    temperature_c: Annotated[float | None, "of the hottest thermal zone"] = field(default=None, metadata=_OPTIONAL)
    watts: Annotated[float | None, "of the whole processor, or of the battery"] = field(
        default=None, metadata=_OPTIONAL
    )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The latency of one measurement held against another's."""

    device: Annotated[str, "of the second"]
    name: Annotated[str, "the result that is judged, as the results name it"]
    base: Annotated[str, "the result that it is held against"]
    base_device: Annotated[str, "of that one"]
    verdict: Annotated[Word, "of the second one's latency"]
    ratio: Annotated[float | None, "second to first, texts of the same length compared"]
    low: Annotated[float | None, "lower end of the ratio's 98 % interval"]
    high: Annotated[float | None, "upper end"]
    reason: Annotated[str, "why nothing can be said, where that is so"] = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A device on which nothing could be measured."""

    device: Annotated[str, "as the recipe names it"]
    message: Annotated[str, "what is wrong"]
    hint: Annotated[str, "how to mend it"]
    exit_code: Annotated[int, "of the command"]
