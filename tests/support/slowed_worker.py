"""The worker, made 10 % slower half way through its samples; called with what an interpreter would be."""

from __future__ import annotations

import sys
import time
from typing import Any

from edgebert import measure, worker
from edgebert.model import Model


class Slowed(Model):
    """Takes 10 % longer for each answer in the second half of the samples."""

    answered = -(10**9)  # not counting before the warm-up is over
    half = 0

    def predict_record(self, record: Any) -> Any:
        start = time.perf_counter_ns()
        answer = super().predict_record(record)
        Slowed.answered += 1
        if Slowed.answered > Slowed.half:
            end = start + (time.perf_counter_ns() - start) * 110 // 100
            while time.perf_counter_ns() < end:
                pass
        return answer


def main() -> int:
    settle = measure.warm_up

    def warm_up(*arguments: Any, **options: Any) -> int:
        count = settle(*arguments, **options)
        Slowed.answered = 0
        return count

    measure.warm_up = warm_up
    worker.Model = Slowed  # type: ignore[misc]
    job = worker.json.loads(worker.Path(sys.argv[3]).read_text("utf-8"))
    Slowed.half = job["samples"] // 2
    return worker.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
