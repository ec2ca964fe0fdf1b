"""Sustained load: what minutes without a pause do to latency, temperature and frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgebert import artifact as artifacts
from edgebert import golden, history
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.progress import Progress

if TYPE_CHECKING:
    from edgebert.report import Report


def sustain(
    paths: Sequence[Path], *, device: str, minutes: float, threads: Sequence[int], progress: Progress
) -> Report:
    """Answer an artifact's own golden texts for so long, one artifact after another, and report the course.

    Args:
        paths: of artifacts of one task.
        device: as `--device` names it.
        minutes: for each artifact and thread count.
        threads: of the engine, one measurement for each.
        progress: told before each measurement.

    Raises:
        ArtifactError: one is damaged, or gives other answers on the device.
        DeviceError: the device cannot do it.
    """
    from edgebert.report import Latency, assemble
    from edgebert.results import results_of

    loaded = [artifacts.load(path) for path in paths]
    names = [path.name if len({p.name for p in paths}) == len(paths) else str(path) for path in paths]
    results = []
    with connected(device) as connection:
        for count in threads:
            plan = Plan(launches=1, samples=0, threads=count, lengths=(), predict=False, seconds=60 * minutes)
            for name, artifact in zip(names, loaded, strict=True):
                told = name if len(threads) == 1 else f"{name} ({count} threads)"
                progress.say(f"{told}: {minutes:g} minutes on {device}")
                records = golden.records_of(loaded[0])
                found = measure_all([Candidate(told, "artifact", artifact)], connection, records, plan, progress)
                (result,) = results_of(found)
                # Medians of windows are no samples: they carry a median, and no percentile.
                latency = Latency(p50=result.latency_ms.p50, n=history.answers(found[0].watched))
                results.append(replace(result, latency_ms=latency, samples_ms=()))
    texts = "The artifact's own golden texts, over and over without a pause; each point is the median of a window."
    return assemble(results, task=loaded[0].manifest.task, recipe={}, gates={}, notes=[texts])
