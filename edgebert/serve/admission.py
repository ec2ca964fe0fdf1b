"""Who may come in: a fixed number of texts in the house, and no queue that grows."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from . import Limits
from .metrics import Metrics


class Full(Exception):  # noqa: N818 (a state, not a fault)
    """There is no room now; `seconds` says when there should be."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Admission:
    """Counts texts in the house and hands them to a few threads. All methods are for the event loop's thread."""

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="edgebert")
        self._requests = self._texts = 0
        self._seconds = 0.01  # that one text takes, a running mean

    @contextmanager
    def request(self) -> Iterator[None]:
        """Room for a request whose body is still to be read, so that bodies cannot pile up. Raises Full."""
        if max(self._requests, self._texts) >= self.limits.queue:
            raise Full(self._wait())
        self._requests += 1
        try:
            yield
        finally:
            self._requests -= 1

    async def answer(self, questions: list[Any], predict: Callable[[Any], Any]) -> list[Any]:
        """`predict` of each question, one after another in one thread. Raises Full, or what `predict` raises."""
        count = len(questions)
        if self._texts + count > self.limits.queue:
            raise Full(self._wait())
        self._hold(count)
        # The house empties when the work is done, not when the client has lost patience.
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._work, questions, predict)
        work.add_done_callback(lambda done: self._hold(-count))
        answers, seconds = await asyncio.shield(work)
        self._seconds += 0.05 * (seconds / count - self._seconds)
        self._metrics.texts.inc(count)
        self._metrics.predict_seconds.observe(seconds / count)
        return answers

    def close(self) -> None:
        """Wait for the threads."""
        self._pool.shutdown(wait=True)

    def _work(self, questions: list[Any], predict: Callable[[Any], Any]) -> tuple[list[Any], float]:
        start = time.perf_counter()
        return [predict(question) for question in questions], time.perf_counter() - start

    def _hold(self, count: int) -> None:
        self._texts += count
        self._metrics.in_house.set(self._texts)

    def _wait(self) -> int:
        """Whole seconds after which what is here now should be answered."""
        return max(1, math.ceil(self._texts * self._seconds / self.limits.workers))
