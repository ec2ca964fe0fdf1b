"""How many engine threads are best for one artifact on this machine: measured once, then remembered.

More threads are not always quicker: on a small student they wait for one another longer than they compute, and beside
other work they wait for cores. So the engine alone is timed at the artifact's own sequence lengths: with one thread,
with two, and so on up to the big cores that this process may use (`edgebert.cpu`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import __version__, cache, cpu
from edgebert.artifact import Artifact
from edgebert.measure import timed
from edgebert.protocols import Loader, Runtime

AUTO = "auto"
KIND = "threads"

#: More threads must cut the time to this share or less: each of them costs energy, and takes a core from others.
WORTH = 0.9
#: Beyond this a BERT's products are too small to be divided further.
MOST = 8
#: For each number of threads and each length.
SECONDS = 0.15


@dataclass(frozen=True)
class Choice:
    """The number of threads, and the milliseconds of each number that was tried (geometric mean over lengths)."""

    threads: int
    milliseconds: dict[int, float]


def load(artifact: Artifact, loader: Loader, *, low_power: bool) -> Runtime:
    """The artifact in its engine with the best number of threads, measured unless that is remembered.

    On a chip with little cores the engine's own threads are bound to the big ones; the calling thread stays free.

    Raises:
        ArtifactError, MissingExtra: as the loader does.
    """
    with cpu.on_big_cores():
        runtime = _load(artifact, loader, low_power)
        runtime.run(_inputs(artifact, lengths(artifact)[0]))  # some engines start their threads when they first run
        return runtime


def _load(artifact: Artifact, loader: Loader, low_power: bool) -> Runtime:
    most = min(cpu.most_threads(), MOST)
    if most == 1:
        return loader(artifact, 1, low_power=low_power)
    key = _key(artifact, low_power)
    known = cache.recall(KIND, key)
    if known is not None:
        runtime = loader(artifact, int(known["threads"]), low_power=low_power)
        if runtime.engine == known["engine"]:
            return runtime
        runtime.close()  # of another version, which may scale otherwise
    choice = measure(artifact, loader, _candidates(most), low_power=low_power)
    runtime = loader(artifact, choice.threads, low_power=low_power)
    found = {"threads": choice.threads, "engine": runtime.engine, "milliseconds": choice.milliseconds}
    cache.remember(KIND, key, found)
    return runtime


def measure(artifact: Artifact, loader: Loader, candidates: Sequence[int], *, low_power: bool) -> Choice:
    """Time every candidate; they are loaded one after another, since two thread pools would disturb each other."""
    times: dict[int, float] = {}
    for threads in candidates:
        runtime = loader(artifact, threads, low_power=low_power)
        try:
            taken = [_milliseconds(artifact, runtime, length) for length in lengths(artifact)]
        finally:
            runtime.close()
        times[threads] = math.exp(sum(math.log(value) for value in taken) / len(taken))
    return Choice(choose(times), {threads: round(value, 4) for threads, value in times.items()})


def choose(times: dict[int, float]) -> int:
    """The fewest threads that no larger number beats by what it must."""
    best = min(times)
    for threads in sorted(times):
        if times[threads] <= WORTH * times[best]:
            best = threads
    return best


def lengths(artifact: Artifact) -> list[int]:
    """The artifact's own sequence lengths; where it takes any, powers of two up to its longest."""
    manifest = artifact.manifest
    steps = [length for length in (16, 32, 64, 128, 256) if length < manifest.max_length]
    return list(manifest.lengths) or [*steps, manifest.max_length]


def _candidates(most: int) -> list[int]:
    return sorted({count for count in (1, 2, 4) if count < most} | {most})


def _milliseconds(artifact: Artifact, runtime: Runtime, length: int) -> float:
    inputs = _inputs(artifact, length)
    for _ in range(3):
        runtime.run(inputs)
    deadline = time.monotonic() + SECONDS
    samples = [timed(lambda: runtime.run(inputs))]
    while time.monotonic() < deadline:
        samples.append(timed(lambda: runtime.run(inputs)))
    return median(samples)


def _inputs(artifact: Artifact, length: int) -> dict[str, NDArray[np.int64]]:
    """Any token will do: how long a product takes does not depend on its numbers."""
    ones, zeros = np.ones((1, length), np.int64), np.zeros((1, length), np.int64)
    return {spec.name: zeros if spec.name == "token_type_ids" else ones for spec in artifact.manifest.inputs}


def _key(artifact: Artifact, low_power: bool) -> dict[str, Any]:
    return {
        "artifact": artifact.artifact_id,
        "edgebert": __version__,
        "cpu": cpu.identity(),
        "cores": cpu.usable(),
        "quota": cpu.quota(),
        "low_power": low_power,
    }
