"""The JVM core with real engines at the other end of a pipe: answers, golden answers, and what the host reads."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jvm import Jvm, Run
from tiny_tasks import TASKS, records_for

import edgebert
from edgebert import exporting, registry, tasks
from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, measure_all
from edgebert.progress import Silent
from edgebert.tasks import Task
from edgebert.teacher import Teacher
from edgebert.worker import Job

LENGTHS = (8, 16)


@contextmanager
def engine(artifact: Artifact) -> Iterator[Run]:
    """The artifact's own engine, as edgebert loads it."""
    runtime = registry.find("runtimes", artifact.manifest.format)(artifact, 1)
    try:
        yield runtime.run
    finally:
        runtime.close()


class JvmDevice:
    """This computer, with the JVM worker instead of Python's; the engine is ours at the other end of a pipe."""

    name = "jvm"

    def __init__(self, jvm: Jvm, artifact: Artifact, folder: Path) -> None:
        self._jvm, self._artifact, self._folder = jvm, artifact, folder
        self.events: list[dict[str, Any]] = []

    def facts(self) -> dict[str, Any]:
        return {}

    def put(self, source: Path, name: str) -> str:
        target = self._folder / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
        return str(target)

    def get(self, path: str, target: Path) -> None:
        shutil.copyfile(path, target)

    def run(self, job: str, output: str, *, timeout: float) -> int:
        with engine(self._artifact) as run:
            lines, code = self._jvm.work(Path(job).read_text("utf-8"), run)
        Path(output).write_text("".join(line + "\n" for line in lines), "utf-8")
        self.events += map(json.loads, lines)
        return code

    def cleanup(self) -> None:
        pass


def test_answers_and_golden_answers(jvm: Jvm, tiny_artifact: Artifact, records: list[dict[str, str]]) -> None:
    texts = [record["text"] for record in records]
    with engine(tiny_artifact) as run, edgebert.load(tiny_artifact.path) as model:
        found = jvm.ask("predict", run, artifact=str(tiny_artifact.path), texts=[[text] for text in texts])
        wanted = [answer.to_json() for answer in model.predict(texts)]
    assert [answer["label"] for answer in found["answers"]] == [answer["label"] for answer in wanted]
    assert [answer["score"] for answer in found["answers"]] == pytest.approx([a["score"] for a in wanted], abs=2e-6)
    assert found["golden"] and found["max_error"] < 1e-5


def test_an_engine_that_computes_something_else_is_refused(jvm: Jvm, tiny_artifact: Artifact, tmp_path: Path) -> None:
    record = tmp_path / "records.jsonl"
    record.write_text('{"text": "please lamp"}\n', "utf-8")
    job = Job(artifact=str(tiny_artifact.path), records=str(record)).to_json()
    with engine(tiny_artifact) as run:
        lines, code = jvm.work(job, lambda inputs: {name: array * 1.5 for name, array in run(inputs).items()})
    events = [json.loads(line) for line in lines]
    assert code == 4 and [event["event"] for event in events] == ["loaded", "golden", "error"]
    assert events[1]["ok"] is False and "answers otherwise here" in events[2]["message"]


def test_the_host_reads_what_the_worker_writes(
    jvm: Jvm, tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path
) -> None:
    """The host's own `check`, whose device runs the JVM worker."""
    (tmp_path / "device").mkdir()
    device = JvmDevice(jvm, tiny_artifact, tmp_path / "device")
    candidate = Candidate("tiny", "artifact", tiny_artifact)
    plan = Plan(launches=2, samples=70, lengths=(16,))
    (found,) = measure_all([candidate], device, records, plan, Silent())
    assert found.artifact_id == tiny_artifact.artifact_id
    assert [len(samples) for samples in found.latency_ms] == [70, 70]
    assert all(ms > 0 for samples in found.latency_ms for ms in samples)
    assert {length: [len(run) for run in runs] for length, runs in found.engine_ms.items()} == {"16": [50, 50]}
    assert found.golden["ok"] and len(found.correct or ()) == len(records)
    assert min(found.peak_rss_bytes) > 10_000_000 and found.cold_start_ms == [1.5, 1.5]
    with edgebert.load(tiny_artifact.path) as model:
        answers = [model.labels.index(model.predict(record["text"]).label) for record in records]
    assert found.answers == answers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threads": 0}, "threads must be at least 1"),
        ({"minutes": 10}, "no setting minutes"),
        ({"artifact": "/nowhere"}, "/nowhere does not exist"),
        ({"samples": "many"}, "samples is no number"),
    ],
)
def test_bad_jobs_end_in_an_error_event(
    jvm: Jvm, tiny_artifact: Artifact, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    record = tmp_path / "records.jsonl"
    record.write_text('{"text": "please lamp"}\n', "utf-8")
    body = json.loads(Job(artifact=str(tiny_artifact.path), records=str(record)).to_json()) | {"later": None} | change
    with engine(tiny_artifact) as run:
        lines, code = jvm.work(json.dumps(body), run)
    (event,) = [json.loads(line) for line in lines]
    assert event["event"] == "error" and message in event["message"] and code in (2, 4)


def export(teacher: Teacher, task: Task, records: list[dict[str, Any]], folder: Path) -> Artifact:
    """As the child process of an export does it, but in this one: torch loads once."""
    from edgebert.export import __main__ as child

    os.environ.update(exporting.ENVIRONMENT)
    calibration = folder / "calibration.jsonl"
    calibration.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    body = {
        "model": str(teacher.path), "task": task.name, "format": "tflite", "precision": "int8", "seed": 0,
        "lengths": list(LENGTHS), "calibration": str(calibration), "lineage": [], "licence": "Apache-2.0",
        "target": str(folder / "tflite-int8"), "parent": os.getpid(), "tuning": None,
        "settings": tasks.settings_of(task),
    }  # fmt: skip
    (folder / "work").mkdir()
    return child.export(body, folder / "work")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tokens", "answers"])
def test_litert_artifacts_of_long_texts(
    jvm: Jvm, make_teacher: Callable[..., Teacher], records: list[dict[str, str]], tmp_path: Path, name: str
) -> None:
    """What the app runs: tflite-int8 with a signature for each length; the engine is the real LiteRT, in Python."""
    task = TASKS[name]
    some = records_for(task, records)[:24]
    teacher = make_teacher("bert", 2, task, initializer_range=0.3 if task.labelled else 0.15)
    artifact = export(teacher, task, some, tmp_path)
    texts = [[record.get(role) or " ".join(record["tokens"]) for role in task.roles] for record in some]
    with engine(artifact) as run, edgebert.load(artifact.path) as model:
        found = jvm.ask("predict", run, artifact=str(artifact.path), texts=texts)
        wanted = [answer.to_json() for answer in model.predict([tuple(text) for text in texts])]
    assert found["golden"], found["details"]
    assert len(found["answers"]) == len(wanted)
    for here, there in zip(found["answers"], wanted, strict=True):
        assert flat(here) == pytest.approx(flat(there), abs=3e-6)


def flat(value: Any) -> dict[str, Any]:
    """Nested answers as one mapping of paths, so that numbers are compared with a tolerance and the rest exactly."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {f"{key}/{path}": leaf for key, item in items for path, leaf in flat(item).items()}
    return {"": value}
