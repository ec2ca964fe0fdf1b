"""What runs on a device: `python -m edgebert.worker JOB`.

Reads a job (JSON), loads the artifact through the registry, and writes what it sees to stdout as JSON lines, each
flushed when it is complete, so that a cut line loses nothing that was measured. It judges nothing: metrics,
intervals and verdicts are made on the host from these raw outputs and samples.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TextIO

import numpy as np

from edgebert import cpu, golden, measure
from edgebert.errors import ArtifactError, EdgebertError
from edgebert.model import Model
from edgebert.processes import PARENT, die_with_parent
from edgebert.tasks import Record
from edgebert.watch import Watch

#: Set by whoever starts the worker: nanoseconds since the epoch, for the cold start.
SPAWNED = "EDGEBERT_SPAWNED_NS"

#: Samples between two looks at the machine.
CHUNK = 50

#: Seconds that a sample stands for at least. Of a quick model only every so many-th answer is a sample, so that 200
#: of them tell of a second and not of ten milliseconds, in which one interruption is everything.
SPREAD = 0.005

#: Seconds for meeting words before warming up, and texts that are enough of them to leave the sampled ones out.
MEETING = 1.0
ENOUGH = 100

#: Records of sustained load, and windows that it is told in at most.
ROUND = 16
WINDOWS = 600


@dataclass(frozen=True)
class Job:
    """One launch of one artifact.

    Args:
        artifact: its folder on the device.
        records: a JSON-lines file of records on the device; they are measured and answered.
        threads: of the engine.
        golden: run the golden answers first, and refuse a runtime that computes something else.
        predict: answer all records and send the outputs.
        answered: so many of the first records are answered already, by the engine `answered_by`: another one begins
            anew, so that the answers to all records are one engine's.
        samples: latency samples (text in, answer out) over records drawn with `seed`; 0 for none.
        lengths: sequence lengths at which the engine alone is timed.
        engine_samples: at each of them.
        seed: another for each launch, so that launches see other records.
        seconds: of sustained load instead of samples: a few records over and over, without a pause.
    """

    artifact: str
    records: str
    threads: int = 1
    golden: bool = True
    predict: bool = False
    answered: int = 0
    answered_by: str = ""
    samples: int = 0
    lengths: tuple[int, ...] = ()
    engine_samples: int = 50
    seed: int = 0
    seconds: float = 0.0

    def to_json(self) -> str:
        """As a job file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Of a job file."""
        fields = json.loads(text)
        return cls(**fields | {"lengths": tuple(fields["lengths"])})


@dataclass
class Output:
    """Writes events, one JSON line each."""

    handle: TextIO
    started: float = field(default_factory=time.monotonic)

    def event(self, name: str, **facts: Any) -> None:
        """One complete line, flushed."""
        self.handle.write(json.dumps({"event": name, **facts}) + "\n")
        self.handle.flush()


def run(job: Job, output: Output) -> None:
    """The whole launch, in the order in which a fresh process shows its costs.

    Raises:
        EdgebertError: the artifact is damaged, its engine is missing, or its golden answers differ.
    """
    records = list(read_records(Path(job.records)))
    start = time.perf_counter_ns()
    model = Model.load(Path(job.artifact), threads=job.threads, golden=False)  # asked below, where the job says so
    loaded = (time.perf_counter_ns() - start) / 1e6
    model.predict_record(records[0])
    spawned = os.environ.get(SPAWNED)
    cold = (time.time_ns() - int(spawned)) / 1e6 if spawned else None
    output.event(
        "loaded",
        artifact_id=model.artifact.artifact_id,
        engine=model.runtime.engine,
        settings=dict(model.runtime.settings),
        load_ms=loaded,
        cold_start_ms=cold,
        instructions=cpu.instructions(),
        python=sys.version.split()[0],
    )
    if job.golden:
        _check_golden(model, output)
    if job.seconds:
        _sustain(model, records[:ROUND], job.seconds, output)
    elif job.samples:
        _latency(model, records, job, output)
    # Peak memory of serving real texts: read before the fixed-length runs, which may be longer than any text.
    output.event("memory", peak_rss_bytes=measure.peak_rss_bytes())
    for length in job.lengths:
        _engine(model, length, job.engine_samples, output)
    if job.predict:
        _predict(model, records, output, job.answered if model.runtime.engine == job.answered_by else 0)
    model.close()
    output.event("done")


def read_records(path: Path) -> Iterator[Record]:
    """The records of a JSON-lines file that the host wrote."""
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            yield json.loads(line)


def _check_golden(model: Model, output: Output) -> None:
    found = golden.check(model.artifact, model.runtime)
    output.event("golden", ok=found.ok, max_error=found.max_error, tolerance=found.tolerance)
    if not found.ok:
        raise ArtifactError(
            f"{model.artifact.manifest.name} answers otherwise here than where it was made: {found.details}",
            f"{model.runtime.engine} computes it wrongly: use another engine version or precision "
            "(tflite-int8-legacy for tflite-runtime 2.14)",
        )


def _latency(model: Model, records: list[Record], job: Job, output: Output) -> None:
    """Text in, answer out, batch 1, on real records drawn at random.

    A process that has just begun meets most words for the first time, and one that warms up on the texts that it is
    then timed on knows them all: neither is how it will live. So the words of the other records are met first, and
    those of the sampled ones are new where a new text's are.
    """
    draw = random.Random(job.seed)
    chosen = [draw.randrange(len(records)) for _ in range(job.samples)]
    others = _others(records, set(chosen))
    draw.shuffle(others)
    _meet(model, others)
    turn = itertools.cycle(others)
    warm = measure.warm_up(lambda _: model.predict_record(next(turn)))
    typical = median(measure.timed(lambda: model.predict_record(next(turn))) for _ in range(measure.WARM_UP_WINDOW))
    every = max(1, math.ceil(SPREAD / (typical / 1000)))
    watch = Watch()
    for first in range(0, len(chosen), CHUNK):
        part, samples = chosen[first : first + CHUNK], []
        for record in [records[index] for index in part]:
            for _ in range(every - 1):
                model.predict_record(next(turn))
            start = time.perf_counter_ns()
            model.predict_record(record)
            samples.append((time.perf_counter_ns() - start) / 1e6)
        seen = watch.read() | {"answers": every * len(part)}
        output.event("latency", ms=samples, records=part, watch=seen)
    output.event("warm", calls=warm, every=every, load_average=os.getloadavg()[0])


def _others(records: list[Record], sampled: set[int]) -> list[Record]:
    """The records that are not sampled; all of them where these are too few to warm up on."""
    others = [record for index, record in enumerate(records) if index not in sampled]
    return others if len(others) >= ENOUGH else list(records)


def _meet(model: Model, records: list[Record]) -> None:
    """Tokenize the records, as many as the time allows: the tokenizer keeps the pieces of words that it has met."""
    end = time.monotonic() + MEETING
    for record in records:
        model.encode(record)
        if time.monotonic() > end:
            break


def _sustain(model: Model, records: list[Record], seconds: float, output: Output) -> None:
    """Answer the same few records over and over; tell each window's median time of a record, by whole rounds."""
    watch, end = Watch(), time.monotonic() + seconds
    window = max(1.0, seconds / WINDOWS)
    while time.monotonic() < end:
        close = time.monotonic() + window
        rounds: list[float] = []
        while not rounds or time.monotonic() < close:
            start = time.perf_counter_ns()
            for record in records:
                model.predict_record(record)
            rounds.append((time.perf_counter_ns() - start) / 1e6 / len(records))
        answers = len(rounds) * len(records)
        output.event("latency", ms=[median(rounds)], watch=watch.read() | {"answers": answers})


def _engine(model: Model, length: int, count: int, output: Output) -> None:
    """The engine alone at one sequence length, every position used."""
    shape = (1, length)
    ids = np.random.default_rng(length).integers(1, model.tokenizer.get_vocab_size(), shape, dtype=np.int64)
    tensors = {
        spec.name: {"input_ids": ids, "attention_mask": np.ones(shape, np.int64)}.get(
            spec.name, np.zeros(shape, np.int64)
        )
        for spec in model.artifact.manifest.inputs
    }
    measure.warm_up(lambda _: model.runtime.run(tensors), seconds=1.0)
    output.event("engine", length=length, ms=[measure.timed(lambda: model.runtime.run(tensors)) for _ in range(count)])


def _predict(model: Model, records: list[Record], output: Output, answered: int) -> None:
    """The raw outputs for every record from `answered` on, in chunks.

    Arrays are base64 of little-endian float32, all windows one after another along the first axis: `windows` says
    how many a record has, `rows` how many rows a window has (1 where outputs are not per token).
    """
    chunk = 100
    for first in range(answered, len(records), chunk):
        windows = [model.encode(record) for record in records[first : first + chunk]]
        found = [model.run(window) for record in windows for window in record]
        tensors, rows = {}, [1] * len(found)
        for name in model.task.outputs:
            arrays = [run[name] if model.task.per_token else run[name][None] for run in found]
            rows = [len(array) for array in arrays]
            joined = np.concatenate(arrays).astype("<f4")
            tensors[name] = {"shape": list(joined.shape), "data": base64.b64encode(joined.tobytes()).decode()}
        output.event("outputs", first=first, windows=[len(record) for record in windows], rows=rows, tensors=tensors)


def main(arguments: list[str]) -> int:
    """Run the job file `arguments[0]`; events go to stdout, and the exit code is that of the error."""
    (job_path,) = arguments
    if PARENT in os.environ:
        die_with_parent(int(os.environ[PARENT]))
    with _claimed_stdout() as handle:
        output = Output(handle)
        try:
            run(Job.from_json(Path(job_path).read_text("utf-8")), output)
        except EdgebertError as error:
            kind = type(error).__name__
            output.event("error", kind=kind, message=error.message, hint=error.hint)
            return error.exit_code
    return 0


def _claimed_stdout() -> TextIO:
    """Our stdout for events alone: what an engine prints goes to stderr, where it cannot spoil a line."""
    sys.stdout.flush()
    handle = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return handle


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
