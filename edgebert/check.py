"""Proving models on a device: launches of the worker, alternated, and what they measured.

Every model gets several launches in fresh processes, and the models take turns, so that a slow minute of the
machine falls on all of them alike.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import errors, registry
from edgebert.artifact import Artifact, sha256
from edgebert.errors import DeviceError, EdgebertError
from edgebert.kept import keeping, read_events
from edgebert.measurement import Measurement, packed, unpacked
from edgebert.progress import Progress
from edgebert.protocols import Device
from edgebert.report.model import Role
from edgebert.scoring import scored_of
from edgebert.tasks import Record
from edgebert.validity import tokens_of, why_invalid
from edgebert.worker import Job

#: Seconds that one launch may take: the slowest models on the slowest devices, with room.
LAUNCH_TIMEOUT = 1800.0


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Args:
        launches: fresh processes for each model.
        samples: latency samples (text in, answer out) in each launch.
        threads: of the engine.
        lengths: sequence lengths at which the engine alone is timed.
        predict: whether all records are answered (in the first launch), for the metric.
        seconds: of sustained load in each launch, instead of samples.
    """

    launches: int = 5
    samples: int = 200
    threads: int = 1
    lengths: tuple[int, ...] = (16, 32, 64, 128)
    predict: bool = True
    seconds: float = 0.0


@dataclass(frozen=True)
class Candidate:
    """A model to be measured."""

    name: str
    role: Role
    artifact: Artifact


@dataclass
class _Launches:
    """The events of all launches of one candidate, gathered."""

    loaded: list[dict[str, Any]] = field(default_factory=list)
    golden: dict[str, Any] = field(default_factory=dict)
    latency: list[list[float]] = field(default_factory=list)
    drawn: list[list[int]] = field(default_factory=list)
    watched: list[list[dict[str, Any]]] = field(default_factory=list)
    engine: dict[str, list[list[float]]] = field(default_factory=dict)
    rss: list[int] = field(default_factory=list)
    outputs: list[list[dict[str, NDArray[np.float32]]]] = field(default_factory=list)

    def take(self, events: Sequence[Mapping[str, Any]]) -> None:
        """One launch's events."""
        latency: list[float] = []
        drawn: list[int] = []
        watched: list[dict[str, Any]] = []
        for event in events:
            match event["event"]:
                case "loaded":
                    self.loaded.append(dict(event))
                case "golden":
                    self.golden = {key: event[key] for key in ("ok", "max_error", "tolerance")}
                case "latency":
                    latency += event["ms"]
                    drawn += event.get("records", ())
                    watched += [event["watch"] | {"n": len(event["ms"])}] if "watch" in event else []
                case "memory":
                    self.rss.append(event["peak_rss_bytes"])
                case "engine":
                    self.engine.setdefault(str(event["length"]), []).append(event["ms"])
                case "outputs":
                    self.outputs += _unpacked(event)
        if latency:
            self.latency.append(latency)
            self.drawn.append(drawn)
            self.watched.append(watched)


def _unpacked(event: Mapping[str, Any]) -> list[list[dict[str, NDArray[np.float32]]]]:
    """The outputs of an event: of each record, of each of its windows, by name."""
    borders = np.cumsum(event["rows"])[:-1]
    split = {}
    for name, tensor in event["tensors"].items():
        split[name] = np.split(unpacked(tensor), borders)
    windows = [dict(zip(split, arrays, strict=True)) for arrays in zip(*split.values(), strict=True)]
    ends = np.cumsum(event["windows"])
    return [windows[end - count : end] for end, count in zip(ends, event["windows"], strict=True)]


def transport(name: str) -> Any:
    """What connects to the device of that name; called before a long run starts, so that a typing error costs nothing.

    Raises:
        UsageError: no such kind of device.
    """
    return registry.find("devices", name.partition(":")[0])


@contextmanager
def connected(name: str) -> Iterator[Device]:
    """The device of that name (`local`, `local:PYTHON`, ...), cleaned up afterwards.

    Raises:
        UsageError: no such kind of device.
        DeviceError: it cannot be reached.
    """
    device: Device = transport(name)(name.partition(":")[2])
    try:
        yield device
    finally:
        device.cleanup()


def measure_all(
    candidates: Sequence[Candidate],
    device: Device,
    records: Sequence[Record],
    plan: Plan,
    progress: Progress,
    keep: Path | None = None,
    quiet: AbstractContextManager[object] = nullcontext(),  # noqa: B008 (it holds no state)
) -> list[Measurement]:
    """Measure every candidate on `device`, taking turns launch by launch.

    Args:
        candidates: verified artifacts; a `torch` one is a teacher or student in the reference engine.
        device: connected.
        records: real test records, with labels when `plan.predict` should give a metric.
        plan: how much.
        progress: told after each launch.
        keep: a folder where a measurement that is cut leaves what it has, for the next one to go on from.
        quiet: held while answers are scored on this computer, where another device's turn must not be disturbed.

    Raises:
        ArtifactError: a golden answer differs on the device.
        DeviceError: a launch crashed or took too long.
    """
    gathered = {candidate.name: _Launches() for candidate in candidates}
    before = {candidate.name: device.facts() for candidate in candidates}
    with tempfile.TemporaryDirectory(prefix="edgebert-check-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        paths = {c.name: device.put(c.artifact.path, f"artifact-{c.name}") for c in candidates}
        data = _write_records(records, folder / "records.jsonl")
        remote = device.put(data, "records.jsonl")
        kept = {
            c.name: stack.enter_context(keeping(keep or folder, _key(c, device, data, plan, number)))
            for number, c in enumerate(candidates)
        }
        for candidate in candidates:
            if text := kept[candidate.name].summary(len(records)):
                progress.say(f"{candidate.name}: {text}")
        total = plan.launches * len(candidates)
        for number in range(total):
            # Another one goes first in each round: what runs after a long job meets a warmer machine.
            launch, turn = divmod(number, len(candidates))
            candidate = candidates[(turn + launch) % len(candidates)]
            progress.step(f"measure on {device.name}", number, total, candidate.name)
            earlier = kept[candidate.name]
            job = Job(
                artifact=paths[candidate.name],
                records=remote,
                threads=plan.threads,
                golden=launch == 0 and candidate.artifact.manifest.format != "torch",
                predict=plan.predict and launch == 0,
                answered=earlier.answered,
                answered_by=earlier.engine,
                samples=plan.samples,
                lengths=_engine_lengths(candidate.artifact, plan.lengths),
                seed=launch,
                seconds=plan.seconds,
            )
            events = run_job(device, job, folder, earlier.file(launch))
            if job.predict and not any(event.get("first") == 0 for event in events):
                events = [*earlier.outputs, *events]
            gathered[candidate.name].take(events)
        progress.step(f"measure on {device.name}", total, total)
        after = device.facts()
    with quiet:
        return [
            replace(
                _measurement(c, device.name, gathered[c.name], plan, records, before[c.name], after),
                partial=kept[c.name].partial,
            )
            for c in candidates
        ]


def _key(candidate: Candidate, device: Device, data: Path, plan: Plan, number: int) -> str:
    """What decides a candidate's events: the same key, the same measurement."""
    plan_of = json.dumps(asdict(plan), sort_keys=True)
    decides = [device.name, candidate.name, number, candidate.artifact.artifact_id, sha256(data), plan_of]
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def run_job(device: Device, job: Job, folder: Path, output: Path) -> Sequence[Mapping[str, Any]]:
    """Run one job, and return its events, which stand in `output` as they come.

    Raises:
        EdgebertError: as the worker tells it; a DeviceError where it stopped early.
    """
    job_file = folder / "job.json"
    job_file.write_text(job.to_json(), "utf-8")
    device.run(device.put(job_file, "job.json"), output, timeout=LAUNCH_TIMEOUT + job.seconds)
    events = read_events(output)
    for event in events:
        if event["event"] == "error":
            kind: type[EdgebertError] = getattr(errors, event["kind"], DeviceError)
            raise kind(f"{device.name}: {event['message']}", event["hint"])
    if not events or events[-1]["event"] != "done":
        raise DeviceError(f"{device.name}: the worker stopped early", "run the command again")
    return events


def _engine_lengths(artifact: Artifact, wanted: Sequence[int]) -> tuple[int, ...]:
    """Those of the wanted lengths that the model can run at."""
    manifest = artifact.manifest
    possible = manifest.lengths or wanted
    return tuple(n for n in wanted if n in possible and n <= manifest.max_length)


def _measurement(
    candidate: Candidate,
    device: str,
    launches: _Launches,
    plan: Plan,
    records: Sequence[Record],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> Measurement:
    artifact, manifest = candidate.artifact, candidate.artifact.manifest
    scored = scored_of(artifact, records, launches.outputs)
    fits = [len(each) for each in launches.drawn] == [len(each) for each in launches.latency]
    tokens = tokens_of(artifact, records, launches.drawn) if fits else None
    return Measurement(
        name=candidate.name,
        role=candidate.role,
        device=device,
        artifact_id=artifact.artifact_id,
        format=manifest.format,
        precision=manifest.precision,
        parameters=manifest.parameters,
        model_bytes=artifact.model_bytes,
        folder_bytes=artifact.folder_bytes,
        threads=plan.threads,
        engine=launches.loaded[0]["engine"],
        settings=launches.loaded[0]["settings"],
        golden=launches.golden,
        latency_ms=launches.latency,
        engine_ms=launches.engine,
        cold_start_ms=[e["cold_start_ms"] for e in launches.loaded if e["cold_start_ms"] is not None],
        load_ms=[event["load_ms"] for event in launches.loaded],
        peak_rss_bytes=launches.rss,
        facts_before=before,
        facts_after=after,
        metric=scored.metric if scored else None,
        units=_listed(scored.units) if scored else None,
        correct=_listed(scored.correct) if scored else None,
        answers=scored.answers if scored else None,
        figures=dict(scored.figures) if scored else {},
        vectors=packed(scored.vectors) if scored and scored.vectors is not None else None,
        invalid=why_invalid(launches.latency, tokens, launches.watched, before, after),
        tokens=tokens,
        watched=launches.watched,
    )


def _listed(array: NDArray[np.float64] | None) -> Any:
    return None if array is None else array.tolist()


def _write_records(records: Sequence[Record], path: Path) -> Path:
    with path.open("w", encoding="utf-8") as handle:
        for record in records:
            handle.write(json.dumps(dict(record), ensure_ascii=False) + "\n")
    return path
