"""A device behind another host: two real sshds, and the real ssh client that goes through the one to the other."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from loopback_sshd import SSHD, Sshd, free_port, keygen

from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.cli import main
from edgebert.devices.ssh import CONFIG, Ssh
from edgebert.errors import DeviceError
from edgebert.progress import SILENT


def config_by(pi: Sshd, gate: Sshd, folder: Path, **changes: object) -> Path:
    """A client config in which `pi` is reached by `gate`, a line of whose is changed."""
    last = gate.config.read_text().replace("Host pi\n", "Host gate\n")
    for option, value in changes.items():
        last, count = re.subn(f"  {option} .*", f"  {option} {value}", last)
        assert count == 1
    path = folder / "config-by-gate"
    path.write_text(f"{pi.config.read_text()}  ProxyJump gate\n{last}")
    return path


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Sshd]:
    """The host on the way."""
    if SSHD is None:
        pytest.skip("no sshd: apt-get install openssh-server")
    folder = tmp_path / "gate"
    folder.mkdir()
    server = Sshd(folder)
    yield server
    server.close()


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears when ssh opens a window to ask; the one who sits there answers yes."""
    told, program = tmp_path / "asked", tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {told}\necho yes\n")
    program.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    monkeypatch.setenv("DISPLAY", ":0")
    return told


def test_a_check_by_a_host_on_the_way(
    sshd: Sshd, gate: Sshd, tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One connection serves the whole session, copies included; afterwards nothing of it is left on either host."""
    monkeypatch.setenv(CONFIG, str(config_by(sshd, gate, tmp_path)))
    plan = Plan(launches=1, samples=20, lengths=())
    with connected("ssh:pi") as device:
        (found,) = measure_all([Candidate("tiny", "artifact", tiny_artifact)], device, records, plan, SILENT)
        assert len(gate.connections()) == 1
    assert found.golden["ok"] and found.correct is not None and len(found.correct) == len(records)
    sshd.await_clean(5)
    deadline = time.monotonic() + 5
    while gate.connections():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not gate.left() and not gate.edgebert.exists(), "the host on the way is only passed"


def test_the_host_on_the_way_goes_down(sshd: Sshd, gate: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG, str(config_by(sshd, gate, tmp_path)))
    device = Ssh("pi")
    try:
        for child in gate.connections():
            os.kill(child, signal.SIGKILL)
        with pytest.raises(DeviceError, match="ssh:pi: the line was cut"):
            device.facts()
    finally:
        device.cleanup()
    sshd.await_clean(5)


@pytest.mark.parametrize(
    ("option", "message", "fix"),
    [
        ("UserKnownHostsFile", "at gate: its host key is not known here", "compare the fingerprint: ssh gate"),
        ("IdentityFile", "at gate: it does not let us in with our key", "ssh-copy-id gate"),
        ("Port", "at gate: it is there, but takes no ssh connections", "turn ssh on there"),
        ("HostName", "at gate: there is no host of that name", "check the name"),
    ],
)  # fmt: skip
def test_refusals_on_the_way_name_the_host(
    option: str, message: str, fix: str, sshd: Sshd, gate: Sshd, asked: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nobody is asked, though the ssh that ProxyJump starts gets none of our options."""
    (tmp_path / "none").touch()
    values = {
        "UserKnownHostsFile": tmp_path / "none", "IdentityFile": keygen(tmp_path / "other"), "Port": free_port(),
        "HostName": "no-such-host.invalid",
    }  # fmt: skip
    monkeypatch.setenv(CONFIG, str(config_by(sshd, gate, tmp_path, **{option: values[option]})))
    start = time.monotonic()
    done = CliRunner().invoke(main, ["doctor", "ssh:pi"])
    assert done.exit_code == 3 and time.monotonic() - start < 10
    first, second = done.stderr.strip().splitlines()
    assert first.startswith("error: ssh:pi: on the way there, ") and message in first and fix in second
    assert not asked.exists()
    assert (tmp_path / "none").read_text() == ""


def test_a_device_that_is_off_is_not_blamed_on_the_way(
    sshd: Sshd, gate: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_by(sshd, gate, tmp_path)
    config.write_text(config.read_text().replace(f"Port {sshd.port}", f"Port {free_port()}"))
    monkeypatch.setenv(CONFIG, str(config))
    with pytest.raises(DeviceError, match="ssh:pi: it is there, but takes no ssh connections"):
        Ssh("pi")


def test_a_host_that_lets_nobody_through(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Sshd(tmp_path, more="AllowTcpForwarding no\n")
    monkeypatch.setenv(CONFIG, str(config_by(sshd, closed, tmp_path)))
    try:
        with pytest.raises(DeviceError, match="on the way there, at gate: this host lets nobody through") as caught:
            Ssh("pi")
        assert "AllowTcpForwarding" in caught.value.hint
    finally:
        closed.close()


@pytest.mark.slow  # ssh waits for ten seconds
def test_a_host_on_the_way_that_does_not_answer(
    sshd: Sshd, gate: Sshd, asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(CONFIG, str(config_by(sshd, gate, tmp_path, Port=silent.getsockname()[1])))
        start = time.monotonic()
        with pytest.raises(DeviceError, match="it is not reachable"):
            Ssh("pi")
        assert time.monotonic() - start < 15 and not asked.exists()
