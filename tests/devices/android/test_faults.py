"""What goes wrong while the bundle's worker runs: told clearly and in time, nothing left, nothing measured lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from android_standin import Standin

from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.devices import remote
from edgebert.devices.android import Android
from edgebert.errors import DeviceError
from edgebert.kept import read_events
from edgebert.progress import SILENT

pytestmark = pytest.mark.slow

PLAN = Plan(launches=1, samples=300, lengths=())
Endless = tuple[Android, str, Path]


@pytest.fixture
def endless(phone: Standin, tiny_artifact: Artifact, tmp_path: Path) -> Iterator[Endless]:
    """A device, a job that does not end by itself, and where its lines go."""
    data, job = tmp_path / "records.jsonl", tmp_path / "job.json"
    data.write_text('{"text": "light"}\n')
    with connected("android") as device:
        assert isinstance(device, Android)
        body = {"artifact": device.put(tiny_artifact.path, "a"), "records": device.put(data, "r"), "lengths": []}
        job.write_text(json.dumps(body | {"samples": 1_000_000, "golden": False}))
        yield device, device.put(job, "j"), tmp_path / "output.jsonl"


def when_measuring(output: Path, act: Callable[[], object]) -> None:
    """Do something as soon as the first samples are here."""

    def wait() -> None:
        while not (output.exists() and b'"latency"' in output.read_bytes()):
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


def samples_in(output: Path) -> int:
    return sum(len(event["ms"]) for event in read_events(output) if event["event"] == "latency")


def test_a_line_that_is_cut(endless: Endless, phone: Standin) -> None:
    device, job, output = endless
    when_measuring(output, phone.unplug)
    with pytest.raises(DeviceError, match=r"android is gone: it was unplugged") as caught:
        device.run(job, output, timeout=60)
    assert "run the command again" in caught.value.hint and samples_in(output) >= 50
    phone.plug()
    phone.await_clean(5)


@pytest.mark.parametrize("percent", [10, 50, 99])
def test_the_second_run_completes_what_was_cut(
    percent: int, phone: Standin, tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """After so many percent of a launch's bytes; what was measured stays, marked partial and not pooled."""
    before = remote.Agent.execute
    sizes: list[int] = []

    def counted(agent: remote.Agent, *arguments: object, **options: object) -> object:
        keep = options["sink"]

        def sink(line: bytes) -> None:
            keep(line)  # type: ignore[operator]
            sizes.append(len(line))
            if limit and sum(sizes) >= limit:
                phone.unplug()
                time.sleep(0.3)

        return before(agent, *arguments, **options | {"sink": sink})  # type: ignore[arg-type]

    def measure(keep: Path) -> object:
        with connected("android") as device:
            return measure_all([Candidate("t", "artifact", tiny_artifact)], device, records * 20, PLAN, SILENT, keep)[0]

    monkeypatch.setattr(remote.Agent, "execute", counted)
    limit = 0
    whole = measure(tmp_path / "whole")
    limit = sum(sizes) * percent // 100
    sizes.clear()
    with pytest.raises(DeviceError, match="is gone"):
        measure(tmp_path / "cut")
    phone.plug()
    phone.await_clean(5)
    limit = 0
    again = measure(tmp_path / "cut")
    assert again.partial and not whole.partial  # type: ignore[attr-defined]
    assert again.answers == whole.answers  # type: ignore[attr-defined]
    assert [len(launch) for launch in again.latency_ms] == [300]  # type: ignore[attr-defined]


def test_a_worker_that_is_killed(endless: Endless, phone: Standin) -> None:
    device, job, output = endless
    when_measuring(output, lambda: phone.shell("kill -9 $(cat /data/local/tmp/edgebert/session-*/pid)"))
    with pytest.raises(DeviceError, match="android: the worker was ended by SIGKILL"):
        device.run(job, output, timeout=60)
    assert samples_in(output) >= 50 and device.facts()["machine"] == "x86_64", "the session goes on"
    device.cleanup()
    phone.await_clean(5)


def test_a_job_that_takes_too_long(endless: Endless, phone: Standin) -> None:
    device, job, output = endless
    for layer in ("onnx", "edgebert"):  # copied before the clock runs
        device._layer(layer)
    start = time.monotonic()
    with pytest.raises(DeviceError, match="a job took longer than 4 s"):
        device.run(job, output, timeout=4)
    assert time.monotonic() - start < 4 + 5
    device.cleanup()
    phone.await_clean(5)


def test_a_host_that_is_killed(phone: Standin, tiny_artifact: Artifact, tmp_path: Path) -> None:
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom edgebert.check import connected\n"
        "artifact, folder = map(Path, sys.argv[1:])\n(folder / 'r').write_text('{\"text\": \"light\"}\\n')\n"
        "with connected('android') as device:\n"
        "    body = {'artifact': device.put(artifact, 'a'), 'records': device.put(folder / 'r', 'r'), 'lengths': []}\n"
        "    (folder / 'j.json').write_text(json.dumps(body | {'samples': 1_000_000, 'golden': False}))\n"
        "    device.run(device.put(folder / 'j.json', 'j'), folder / 'output', timeout=300)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", script, str(tiny_artifact.path), str(tmp_path)])
    when_measuring(tmp_path / "output", host.kill)
    assert host.wait(300) == -signal.SIGKILL
    phone.await_clean(5)
    assert samples_in(tmp_path / "output") >= 50


def test_a_phone_that_is_full(
    tiny_artifact: Artifact, tmp_path: Path, phone: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for the bundle, and, once it is there, none for an artifact."""
    small = Standin("x86_64", size_mb=60)
    monkeypatch.setenv("ADB_SERVER_SOCKET", small.environment["ADB_SERVER_SOCKET"])
    try:
        small.start()
        with (
            pytest.raises(DeviceError, match=r"android: its disk is full: .*No space left"),
            connected("android") as device,
        ):
            device.put(tiny_artifact.path, "artifact")
        small.await_clean(5)
    finally:
        small.stop()
    monkeypatch.setenv("ADB_SERVER_SOCKET", phone.environment["ADB_SERVER_SOCKET"])
    (tmp_path / "first").write_bytes(b"first")
    with connected("android") as device:
        device.put(tmp_path / "first", "first")
        phone.shell("cat /dev/zero > /data/local/tmp/fill")
        with pytest.raises(DeviceError, match=r"android: its disk is full: .*No space left"):
            device.put(tiny_artifact.path, "artifact")
        phone.shell("rm /data/local/tmp/fill")
    phone.await_clean(5)
