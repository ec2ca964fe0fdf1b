"""Whether the times of a measurement may be used at all.

A machine that was throttled, changed its speed or had other work to do makes a measurement invalid, not merely
worse: no average mends it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgebert import drift, tasks
from edgebert.artifact import Artifact
from edgebert.tasks import Record
from edgebert.tokenization import load_tokenizer
from edgebert.watch import total

#: Shares of the time above which other work has disturbed a measurement.
WAITED = 0.05
STOLEN = 0.05

#: CPUs that others may keep busy: half of one, or a quarter of all where there are many.
OTHERS = 0.5
OTHERS_SHARE = 0.25


def why_invalid(
    launches: Sequence[Sequence[float]],
    tokens: Sequence[Sequence[int]] | None,
    watched: Sequence[Sequence[Mapping[str, Any]]],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> list[str]:
    """Why the times must not be used, in words; empty when they may, or when they are an emulator's anyway.

    Args:
        launches: latencies in ms.
        tokens: the text lengths of the same samples; None when they are not known.
        watched: the readings of `edgebert.watch` in each launch.
        before: the device's facts before the first launch.
        after: after the last one.
    """
    if before.get("emulated") or not launches:
        return []
    readings = [reading for launch in watched for reading in launch]
    change = drift.find(launches, tokens)
    return [
        *_throttled(before, readings, after),
        *([f"the machine changed its speed while measuring: {change}"] if change else []),
        *_loaded(readings, before),
    ]


def tokens_of(artifact: Artifact, records: Sequence[Record], drawn: Sequence[Sequence[int]]) -> list[list[int]]:
    """How many tokens the records have that each launch drew, special tokens and all windows included."""
    manifest = artifact.manifest
    task = tasks.get(manifest.task, manifest.task_settings)
    tokenizer = load_tokenizer(artifact.path, None if task.windowed else manifest.max_length)
    lengths = {
        index: sum(len(window.input_ids) for window in task.encode(tokenizer, records[index], manifest.max_length))
        for index in {index for launch in drawn for index in launch}
    }
    return [[lengths[index] for index in launch] for launch in drawn]


def _throttled(before: Mapping[str, Any], readings: Sequence[Mapping[str, Any]], after: Mapping[str, Any]) -> list[str]:
    """What slowed the machine down: as it says now, and what happened since boot only after the first look."""
    seen = [word for state in (before, *readings, after) for word in state.get("throttled") or ()]
    earlier = set(before.get("throttled_since_boot") or ())
    seen += [word for word in after.get("throttled_since_boot") or () if word not in earlier]
    words = list(dict.fromkeys(seen))
    return [f"the machine was throttled: {', '.join(words)}"] if words else []


def _loaded(readings: Sequence[Mapping[str, Any]], before: Mapping[str, Any]) -> list[str]:
    cores = before.get("cores") or before.get("usable_cores") or 1
    waited, stolen, others = (total(readings, name) for name in ("waited", "stolen", "others"))
    found = []
    if waited is not None and waited > WAITED:
        found.append(f"the machine had other work: the model waited for a CPU in {waited:.0%} of the time")
    if stolen is not None and stolen > STOLEN:
        found.append(f"the virtual machine's host had other work: it took {stolen:.0%} of the CPUs")
    if not found and others is not None and others > max(OTHERS, OTHERS_SHARE * cores):
        found.append(f"the machine had other work: other programs kept {others:.1f} of {cores} CPUs busy")
    if waited is None and others is None and (before.get("load_average") or 0.0) > cores:
        found.append(f"the machine had other work: its load was {before['load_average']:.1f} on {cores} CPUs")
    return found
