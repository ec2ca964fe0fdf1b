"""What one model showed on one device, as it is kept between stages."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert.report.model import Role


@dataclass(frozen=True)
class Measurement:
    """What one model showed on one device, raw: times in milliseconds, one list for each launch.

    `tokens` are the text lengths of the samples of `latency_ms`, `watched` what `edgebert.watch` read in each launch,
    `invalid` why the times must not be used, and `attempts` what earlier, invalid measurements showed.
    `partial` has the samples of earlier attempts that were cut, launch by launch: they are shown, never pooled.
    """

    name: str
    role: Role
    device: str
    artifact_id: str
    format: str
    precision: str
    parameters: int
    model_bytes: int
    folder_bytes: int
    threads: int
    engine: str
    settings: Mapping[str, Any]
    golden: Mapping[str, Any]
    latency_ms: Sequence[Sequence[float]]
    engine_ms: Mapping[str, Sequence[Sequence[float]]]
    cold_start_ms: Sequence[float]
    load_ms: Sequence[float]
    peak_rss_bytes: Sequence[int]
    facts_before: Mapping[str, Any]
    facts_after: Mapping[str, Any]
    metric: str | None = None
    units: Sequence[Sequence[float]] | None = None
    correct: Sequence[float] | None = None
    answers: Sequence[Any] | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    vectors: Mapping[str, Any] | None = None
    invalid: Sequence[str] = ()
    tokens: Sequence[Sequence[int]] | None = None
    watched: Sequence[Sequence[Mapping[str, Any]]] = ()
    attempts: Sequence[Mapping[str, Any]] = ()
    partial: Sequence[Mapping[str, Any]] = ()

    def to_json(self) -> dict[str, Any]:
        """As `json.dumps` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Measurement:
        """Of what `to_json` gave."""
        return cls(**value)


def packed(array: NDArray[np.float32]) -> dict[str, Any]:
    """An array as JSON: its shape, and base64 of little-endian float32."""
    return {"shape": list(array.shape), "data": base64.b64encode(array.astype("<f4").tobytes()).decode()}


def unpacked(value: Mapping[str, Any]) -> NDArray[np.float32]:
    """What `packed` was given."""
    return np.frombuffer(base64.b64decode(value["data"]), dtype="<f4").reshape(value["shape"])
