"""Simulated latency traces, as like real ones as we know how to make them.

Texts of mixed lengths, log-normal noise of which a part persists from sample to sample, now and then a spike, and
launches that differ from one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Noise:
    """How unsteady a machine is; standard deviations of log latency.

    Args:
        white: of each sample alone.
        lasting: of the part that persists.
        persistence: its correlation from one sample to the next.
        launch: of launches among one another.
        spikes: share of samples that something interrupts.
        busy: share of the time in which something else slows everything down, by 10 % and more.
        spell: samples that this lasts for on average.
    """

    white: float = 0.03
    lasting: float = 0.015
    persistence: float = 0.7
    launch: float = 0.02
    spikes: float = 0.01
    busy: float = 0.0
    spell: float = 5.0


QUIET = Noise(0.01, 0.005, 0.7, 0.01, 0.003)
USUAL = Noise()
NOISY = Noise(0.06, 0.02, 0.7, 0.03, 0.03)
#: Other guests of the host, or a browser: two fifths of the time, for 10 and for 25 ms at a time.
SHARED = Noise(busy=0.4, spell=2)
BUSY = Noise(busy=0.4, spell=5)


@dataclass(frozen=True)
class Trace:
    """Latencies in ms and the token counts of the texts, one list for each launch."""

    ms: list[list[float]]
    tokens: list[list[int]]


def trace(
    random: np.random.Generator,
    noise: Noise = USUAL,
    *,
    launches: int = 5,
    samples: int = 200,
    slower: float = 0.0,
    where: tuple[float, float] = (1.0, 1.0),
    only: int | None = None,
    level: float = 1.0,
    buckets: bool = False,
) -> Trace:
    """A measurement.

    Args:
        random: the draws.
        noise: of the machine.
        launches: how many.
        samples: in each.
        slower: share by which the disturbed stretch is slower.
        where: the disturbed stretch, as places within a launch, 0 to 1.
        only: the one launch that is disturbed; None for all.
        level: factor on everything.
        buckets: the engine pads to 16, 32 or 64 tokens.
    """
    made = Trace([], [])
    for number in range(launches):
        tokens = np.clip(np.round(random.lognormal(2.3, 0.45, samples)), 4, 60).astype(int)
        cost = 0.4 + 0.06 * (np.select([tokens <= 16, tokens <= 32], [16, 32], 64) if buckets else tokens)
        logs = np.log(cost * level) + random.normal(0, noise.launch)
        logs += random.normal(0, noise.white, samples) + _lasting(random, noise, samples)
        hit = random.random(samples) < noise.spikes
        logs += hit * random.exponential(0.6, samples)
        logs += _spells(random, noise, samples)
        if only is None or only == number:
            first, last = (int(share * samples) for share in where)
            logs[first:last] += np.log1p(slower)
        made.ms.append(np.exp(logs).tolist())
        made.tokens.append(tokens.tolist())
    return made


def _lasting(random: np.random.Generator, noise: Noise, samples: int) -> NDArray[np.float64]:
    steps = random.normal(0, noise.lasting * np.sqrt(1 - noise.persistence**2), samples)
    values = np.empty(samples)
    now = random.normal(0, noise.lasting)
    for index, step in enumerate(steps):
        now = noise.persistence * now + step
        values[index] = now
    return values


def _spells(random: np.random.Generator, noise: Noise, samples: int) -> NDArray[np.float64]:
    values = np.zeros(samples)
    if not noise.busy:
        return values
    begins, ends = noise.busy / (1 - noise.busy) / noise.spell, 1 / noise.spell
    now = random.random() < noise.busy
    for index in range(samples):
        if random.random() < (ends if now else begins):
            now = not now
        if now:
            values[index] = 0.1 + random.exponential(0.2)
    return values
