"""What goes wrong in mid-job: told clearly and in time, nothing left on the device, nothing measured lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback_sshd import Sshd
from tcp_proxy import Proxy

from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.devices import remote
from edgebert.devices.ssh import CONFIG, Ssh
from edgebert.errors import DeviceError
from edgebert.kept import read_events
from edgebert.measurement import Measurement
from edgebert.progress import SILENT

pytestmark = pytest.mark.slow

PLAN = Plan(launches=2, samples=400, lengths=(16, 32))


def measure(artifact: Artifact, records: list[dict[str, str]], keep: Path) -> Measurement:
    """As a check of the artifact does it. 30 times the records, so that their outputs come in many lines."""
    with connected("ssh:pi") as device:
        return measure_all([Candidate("tiny", "artifact", artifact)], device, records * 30, PLAN, SILENT, keep)[0]


@pytest.fixture
def endless(sshd: Sshd, tiny_artifact: Artifact, tmp_path: Path) -> Iterator[tuple[Ssh, str, Path]]:
    """A device, a job that does not end by itself, and where its lines go."""
    data, job = tmp_path / "records.jsonl", tmp_path / "job.json"
    data.write_text('{"text": "light"}\n')
    with connected("ssh:pi") as device:
        assert isinstance(device, Ssh)
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


def worker_of(sshd: Sshd) -> int:
    (pid,) = sshd.edgebert.glob("session-*/pid")
    return int(pid.read_text())


@pytest.fixture(scope="module")
def line(loopback: Sshd) -> Iterator[tuple[Proxy, Path]]:
    """A line to the server that can be cut, and the client config that goes by it."""
    proxy = Proxy(loopback.port)
    yield proxy, loopback.write_config("config-proxy", proxy.port)
    proxy.close()


@pytest.fixture(scope="module")
def whole(
    loopback: Sshd, line: tuple[Proxy, Path], tiny_artifact: Artifact, records: list[dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Measurement, int]:  # fmt: skip
    """A measurement that nothing disturbs, and how many bytes its first launch sends back."""
    proxy, config = line
    sizes: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CONFIG, str(config))
        before = remote.Agent.run_worker

        def counted(agent: remote.Agent, *arguments: object, **options: object) -> int:
            start = proxy.received
            code = before(agent, *arguments, **options)  # type: ignore[arg-type]
            sizes.append(proxy.received - start)
            return code

        patch.setattr(remote.Agent, "run_worker", counted)
        found = measure(tiny_artifact, records, tmp_path_factory.mktemp("keep"))
    return found, sizes[0]


@pytest.mark.parametrize("percent", [10, 50, 99])
def test_a_line_that_is_cut(
    percent: int, sshd: Sshd, line: tuple[Proxy, Path], whole: tuple[Measurement, int], tiny_artifact: Artifact,
    records: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    proxy, config = line
    undisturbed, size = whole
    before = remote.Agent.run_worker

    def cut(agent: remote.Agent, *arguments: object, **options: object) -> int:
        proxy.cut_after(size * percent // 100)
        return before(agent, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setenv(CONFIG, str(config))
        patch.setattr(remote.Agent, "run_worker", cut)
        with pytest.raises(DeviceError, match="the line was cut") as caught:
            measure(tiny_artifact, records, tmp_path)
        assert "run the command again" in caught.value.hint
        assert proxy.cut_at is not None and time.monotonic() - proxy.cut_at < 5 + 5, "told at once, and tidied up here"
    sshd.await_clean(5)

    (file,) = tmp_path.rglob("*.jsonl")
    left = read_events(file)
    assert left and left[-1]["event"] != "done"
    samples = [ms for event in left if event["event"] == "latency" for ms in event["ms"]]
    answered = sum(len(event["windows"]) for event in left if event["event"] == "outputs")
    assert samples and (percent == 10 or len(samples) == 400)
    assert (answered > 0) == (percent > 10), "answers come last"

    again = measure(tiny_artifact, records, tmp_path)
    assert [dict(p) for p in again.partial] == [
        {
            "launch": 0, "whole": False, "latency_ms": samples,
            "engine_ms": {str(event["length"]): event["ms"] for event in left if event["event"] == "engine"},
        }
    ]  # fmt: skip
    assert [len(launch) for launch in again.latency_ms] == [400, 400], "samples of a cut job are never pooled"
    assert samples != again.latency_ms[0][: len(samples)]  # single ones may be alike, where the clock is coarse
    assert again.answers == undisturbed.answers and again.correct == undisturbed.correct
    assert not list(tmp_path.rglob("*.jsonl")), "a whole measurement leaves nothing behind here"


def test_answers_are_not_asked_again(
    sshd: Sshd, tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run begins where the first was cut: the worker is told so, and sends the rest alone."""
    limits = iter([1])
    before = remote.Agent.run_worker
    seen: list[list[dict[str, object]]] = []

    def watched(agent: remote.Agent, launcher: object, job: str, output: Path, **options: object) -> int:
        code = before(agent, launcher, job, output, **options)  # type: ignore[arg-type]
        seen.append(read_events(output))
        if next(limits, None):  # the line is cut after the third chunk of answers
            lines = output.read_text().splitlines(keepends=True)
            third = [index for index, line in enumerate(lines) if '"outputs"' in line][2]
            output.write_text("".join(lines[: third + 1]) + lines[third + 1][:40])
            raise DeviceError("ssh:pi: the line was cut", "")
        return code

    monkeypatch.setattr(remote.Agent, "run_worker", watched)
    with pytest.raises(DeviceError):
        measure(tiny_artifact, records, tmp_path)
    again = measure(tiny_artifact, records, tmp_path)
    assert [event["first"] for event in seen[0] if event["event"] == "outputs"][:4] == [0, 100, 200, 300]
    assert next(event["first"] for event in seen[1] if event["event"] == "outputs") == 300
    assert again.answers is not None and len(again.answers) == len(records) * 30


def test_a_line_that_falls_silent(
    sshd: Sshd, line: tuple[Proxy, Path], tiny_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a cable is pulled: nobody is told. Both ends notice by themselves."""
    monkeypatch.setattr(remote, "SILENCE", 4.0)
    monkeypatch.setattr(remote, "HEARTBEAT", 1.0)
    proxy = Proxy(sshd.port)
    monkeypatch.setenv(CONFIG, str(sshd.write_config("config-silent", proxy.port)))
    output = tmp_path / "output.jsonl"
    device = Ssh("pi")
    try:
        data, job = tmp_path / "records.jsonl", tmp_path / "job.json"
        data.write_text('{"text": "light"}\n')
        body = {"artifact": device.put(tiny_artifact.path, "a"), "records": device.put(data, "r"), "lengths": []}
        job.write_text(json.dumps(body | {"samples": 1_000_000, "golden": False}))
        path = device.put(job, "j")
        device.facts()  # what a device installs first takes its own time, not the job's
        when_measuring(output, proxy.frozen.set)
        start = time.monotonic()
        with pytest.raises(DeviceError, match=r"took longer than 8 s|the line was cut"):
            device.run(path, output, timeout=8)
        assert time.monotonic() - start < 8 + 5
        sshd.await_clean(10)
    finally:
        device.cleanup()
        proxy.close()
    assert any(event["event"] == "latency" for event in read_events(output))


def test_a_worker_that_is_killed(endless: tuple[Ssh, str, Path], sshd: Sshd) -> None:
    device, job, output = endless
    when_measuring(output, lambda: os.kill(worker_of(sshd), signal.SIGKILL))
    with pytest.raises(DeviceError, match="ssh:pi: the worker was ended by SIGKILL") as caught:
        device.run(job, output, timeout=60)
    assert "memory" in caught.value.hint
    assert any(event["event"] == "latency" for event in read_events(output))
    assert device.facts()["machine"], "the session goes on"
    device.cleanup()
    sshd.await_clean(5)


def test_an_agent_that_is_killed(endless: tuple[Ssh, str, Path], sshd: Sshd) -> None:
    """The worker goes with it; what it could not remove, the next session does."""
    device, job, output = endless

    def kill() -> None:
        fields = Path(f"/proc/{worker_of(sshd)}/stat").read_text().rpartition(")")[2].split()
        os.kill(int(fields[1]), signal.SIGKILL)

    when_measuring(output, kill)
    with pytest.raises(DeviceError, match="the line was cut"):
        device.run(job, output, timeout=60)
    device.cleanup()
    assert [name for name in sshd.left() if not name.startswith("process")], "its folder stays for now"
    Ssh("pi").cleanup()
    sshd.await_clean(5)


def test_a_server_that_goes_away(endless: tuple[Ssh, str, Path], sshd: Sshd) -> None:
    device, job, output = endless
    when_measuring(output, lambda: [os.kill(child, signal.SIGKILL) for child in sshd.connections()])
    with pytest.raises(DeviceError, match="the line was cut"):
        device.run(job, output, timeout=60)
    sshd.await_clean(5)


def test_a_host_that_is_killed(sshd: Sshd, tiny_artifact: Artifact, tmp_path: Path) -> None:
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom edgebert.check import connected\n"
        "artifact, folder = map(Path, sys.argv[1:])\n(folder / 'r').write_text('{\"text\": \"light\"}\\n')\n"
        "with connected('ssh:pi') as device:\n"
        "    body = {'artifact': device.put(artifact, 'a'), 'records': device.put(folder / 'r', 'r'), 'lengths': []}\n"
        "    (folder / 'j.json').write_text(json.dumps(body | {'samples': 1_000_000, 'golden': False}))\n"
        "    device.run(device.put(folder / 'j.json', 'j'), folder / 'output', timeout=60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", script, str(tiny_artifact.path), str(tmp_path)])
    killed = threading.Event()
    when_measuring(tmp_path / "output", lambda: (host.kill(), killed.set()))
    host.wait(60)
    assert killed.wait(1) and host.returncode == -signal.SIGKILL
    sshd.await_clean(5)
    assert any(event["event"] == "latency" for event in read_events(tmp_path / "output"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB: a tmpfs, which root alone can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("a small file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full(
    loopback: Sshd, small_disk: Path, tiny_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "server").mkdir()
    server = Sshd(tmp_path / "server", cache=small_disk)
    monkeypatch.setenv(CONFIG, str(server.config))
    (tmp_path / "big").write_bytes(os.urandom(1_000_000))
    try:
        with connected("ssh:pi") as device:
            with pytest.raises(DeviceError, match=r"ssh:pi: its disk is full: .*(No space left|Wrote only)") as caught:
                device.put(tmp_path / "big", "big")
            assert "free some space there" in caught.value.hint
            with pytest.raises(DeviceError, match="its disk is full"):
                device.facts()
        server.await_clean(5)
        (server.cache / "rest").write_bytes(b"")
        with (server.cache / "rest").open("wb", buffering=0) as rest, pytest.raises(OSError, match="No space"):
            while True:
                rest.write(b"x" * 512)
        with pytest.raises(DeviceError, match="its disk is full"), connected("ssh:pi") as device:
            device.put(tiny_artifact.path, "artifact")
        server.await_clean(5)
    finally:
        server.close()
