"""Every device keeps one contract. A new transport joins by a name in DEVICES and a fixture that makes it."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgebert import load
from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.errors import DeviceError
from edgebert.kept import read_events
from edgebert.progress import SILENT
from edgebert.protocols import Device

#: Kind -> the device's name, and the fixture that must be there first.
DEVICES = {
    "local": ("local", None),
    "python": (f"local:{sys.executable}", None),
    "ssh": ("ssh:pi", "sshd"),
}


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    name, fixture = DEVICES[request.param]
    if fixture is not None:
        request.getfixturevalue(fixture)
    with connected(name) as connection:
        assert connection.name == name
        yield connection


def put_job(device: Device, artifact: Artifact, folder: Path, records: list[dict[str, str]], **fields: object) -> str:
    """Put all that a job needs, and the job."""
    data = folder / "records.jsonl"
    data.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    body = {
        "artifact": device.put(artifact.path, "artifact"),
        "records": device.put(data, "records.jsonl"),
        "lengths": [],
    }
    job = folder / "job.json"
    job.write_text(json.dumps(body | fields), "utf-8")
    return device.put(job, "job.json")


def test_facts(device: Device) -> None:
    facts = json.loads(json.dumps(device.facts()))
    assert facts["usable_cores"] >= 1 and facts["machine"] and facts["emulated"] in (True, False)
    assert isinstance(facts["features"], list) and facts["python"]


def test_what_is_put_can_be_got(device: Device, tmp_path: Path) -> None:
    source = tmp_path / "a file.bin"
    source.write_bytes(bytes(range(256)) * 1000)
    path = device.put(source, "a file.bin")
    device.get(path, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "empty").touch()
    device.get(f"{device.put(folder, 'folder')}/deep/empty", tmp_path / "nothing")
    assert (tmp_path / "nothing").read_bytes() == b""
    assert device.put(source, "another name") == path, "the same content is not copied again"


def test_what_is_not_there_is_told(device: Device, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"[Nn]o such file"):
        device.get("/no/such/file", tmp_path / "target")
    assert not list(tmp_path.iterdir())


def test_a_job_gives_its_events(
    device: Device, tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path
) -> None:
    plan = Plan(launches=1, samples=60, lengths=(16,))
    found = measure_all([Candidate("tiny", "artifact", tiny_artifact)], device, records, plan, SILENT)[0]
    with load(tiny_artifact.path) as model:
        answers = [prediction.label for prediction in model.predict([record["text"] for record in records])]
    labels = tiny_artifact.manifest.labels
    assert found.answers is not None and [labels[index] for index in found.answers] == answers
    assert found.golden["ok"] and [len(launch) for launch in found.latency_ms] == [60] and not found.partial
    assert len(found.cold_start_ms) == 1 and 0.05 < found.cold_start_ms[0] / 1000 < 60
    assert found.device == device.name and found.engine.startswith("onnxruntime ")


def test_an_error_of_the_worker_keeps_its_kind(device: Device, tiny_artifact: Artifact, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(tiny_artifact.path, spoiled)
    with (spoiled / "model.onnx").open("r+b") as handle:
        handle.write(b"x")
    job = put_job(device, replace(tiny_artifact, path=spoiled), tmp_path, [{"text": "light"}])
    assert device.run(job, tmp_path / "output.jsonl", timeout=60) == 4
    (event,) = read_events(tmp_path / "output.jsonl")
    assert event["event"] == "error" and event["kind"] == "ArtifactError" and "model.onnx" in event["message"]


def test_lines_arrive_as_they_are_written_and_time_is_limited(
    device: Device, tiny_artifact: Artifact, tmp_path: Path
) -> None:
    """A job without end: its samples are here while it runs, and stay when its time is over."""
    job = put_job(device, tiny_artifact, tmp_path, [{"text": "light"}], samples=1_000_000, golden=False)
    output = tmp_path / "output.jsonl"
    over = threading.Event()
    seen: list[bool] = []

    def watch() -> None:
        while not over.is_set():
            if output.exists() and b'"latency"' in output.read_bytes():
                seen.append(True)
                return
            time.sleep(0.02)

    device.facts()  # what a device installs first takes its own time, not the job's
    for seconds in (3, 12, 48):  # a busy machine may need more to come to the first samples
        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.monotonic()
        with pytest.raises(DeviceError, match=f"took longer than {seconds} s"):
            device.run(job, output, timeout=seconds)
        assert time.monotonic() - start < seconds + 5
        over.set()
        watcher.join()
        over.clear()
        if seen:
            break
    assert seen, "nothing arrived while the job ran"
    events = read_events(output)
    assert sum(len(event["ms"]) for event in events if event["event"] == "latency") >= 50


def test_cleaning_up_twice(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    device.put(tmp_path / "file", "file")
    device.cleanup()
    device.cleanup()
