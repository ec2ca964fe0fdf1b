"""The worker, made 10 % slower half way through its samples; called with what an interpreter would be."""

from __future__ import annotations

import sys
import time
from typing import Any

from edgebert import worker
from edgebert.model import Model
from edgebert.watch import Watch


class Slowed(Model):
    """Takes 10 % longer for each answer from the moment when it is told to."""

    now = False

    def predict_record(self, record: Any) -> Any:
        start = time.perf_counter_ns()
        answer = super().predict_record(record)
        if Slowed.now:
            end = start + (time.perf_counter_ns() - start) * 110 // 100
            while time.perf_counter_ns() < end:
                pass
        return answer


class Telling(Watch):
    """Looks at the machine between chunks of samples: after half of them the worker slows down."""

    chunks = 0
    looks = 0

    def read(self) -> dict[str, Any]:
        Telling.looks += 1
        Slowed.now = Telling.looks >= Telling.chunks / 2
        return super().read()


def main() -> int:
    worker.Model = Slowed  # type: ignore[misc]
    worker.Watch = Telling  # type: ignore[misc]
    job = worker.json.loads(worker.Path(sys.argv[3]).read_text("utf-8"))
    Telling.chunks = job["samples"] // worker.CHUNK
    return worker.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
