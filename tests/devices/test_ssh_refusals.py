"""Hosts that cannot be reached or trusted: each its own message and way out, exit code 3, at once."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from loopback_sshd import Sshd, changed, free_port, keygen

from edgebert.artifact import Artifact
from edgebert.cli import main
from edgebert.devices.ssh import CONFIG, Ssh
from edgebert.errors import DeviceError


def unknown_key(sshd: Sshd, folder: Path) -> Path:
    (folder / "known").touch()
    return changed(sshd.config, folder, "  UserKnownHostsFile .*", f"  UserKnownHostsFile {folder}/known")


def changed_key(sshd: Sshd, folder: Path) -> Path:
    public = Path(f"{keygen(folder / 'other')}.pub").read_text().split()
    (folder / "known").write_text(f"[127.0.0.1]:{sshd.port} {public[0]} {public[1]}\n")
    return changed(sshd.config, folder, "  UserKnownHostsFile .*", f"  UserKnownHostsFile {folder}/known")


def wrong_key(sshd: Sshd, folder: Path) -> Path:
    return changed(sshd.config, folder, "  IdentityFile .*", f"  IdentityFile {keygen(folder / 'wrong')}")


def nobody_listens(sshd: Sshd, folder: Path) -> Path:
    return changed(sshd.config, folder, "  Port .*", f"  Port {free_port()}")


def unknown_name(sshd: Sshd, folder: Path) -> Path:
    return changed(sshd.config, folder, "  HostName .*", "  HostName no-such-host.invalid")


def bad_config(sshd: Sshd, folder: Path) -> Path:
    return changed(sshd.config, folder, "  Port .*", "  Prot 22")


CASES = [
    (unknown_key, "its host key is not known here", "connect once by hand and compare the fingerprint: ssh pi"),
    (changed_key, "its host key has changed", "ssh-keygen -R pi"),
    (wrong_key, "it does not let us in with our key", "ssh-copy-id pi"),
    (nobody_listens, "it is there, but takes no ssh connections", "turn ssh on there"),
    (unknown_name, "there is no host of that name", "check the name"),
    (bad_config, "the ssh configuration cannot be used", "mend the file"),
]


@pytest.mark.parametrize(("make", "message", "fix"), CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_refusals(
    make: Callable[[Sshd, Path], Path],
    message: str,
    fix: str,
    sshd: Sshd,
    tiny_artifact: Artifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CONFIG, str(make(sshd, tmp_path)))
    (tmp_path / "data.csv").write_text("text,label\nthe light,lights\n")
    start = time.monotonic()
    done = CliRunner().invoke(
        main, ["check", str(tiny_artifact.path), "--data", str(tmp_path / "data.csv"), "--device", "ssh:pi"]
    )
    assert done.exit_code == 3, done.stderr
    first, second = done.stderr.strip().splitlines()
    assert first.startswith("error: ssh:pi: ") and message in first
    assert fix in second
    assert time.monotonic() - start < 10
    assert not sshd.left()
    doctor = CliRunner().invoke(main, ["doctor", "ssh:pi"])
    assert doctor.exit_code == 3 and doctor.stderr == done.stderr


@pytest.mark.slow  # ssh waits for ten seconds
def test_a_host_that_does_not_answer(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv(CONFIG, str(changed(sshd.config, tmp_path, "  Port .*", f"  Port {port}")))
        start = time.monotonic()
        with pytest.raises(DeviceError, match="it is not reachable"):
            Ssh("pi")
        assert time.monotonic() - start < 15


def server_with(folder: Path, *programs: str) -> Sshd:
    """A device whose PATH has these programs alone."""
    server = Sshd(folder, path=str(folder / "bin"))
    (folder / "bin" / "python3").unlink()
    for program in programs:
        found = shutil.which(program)
        assert found is not None
        (folder / "bin" / program).symlink_to(found)
    return server


def test_a_device_without_python(loopback: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = server_with(tmp_path, "sh")
    monkeypatch.setenv(CONFIG, str(server.config))
    try:
        with pytest.raises(DeviceError, match=r"has no Python 3\.11 or newer") as caught:
            Ssh("pi")
        assert "apt-get install python3" in caught.value.hint
    finally:
        server.close()


def test_doctor_of_a_device_that_is_well(sshd: Sshd) -> None:
    done = CliRunner().invoke(main, ["doctor", "ssh:pi", "--json"])
    assert done.exit_code == 0, done.output
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert {"python", "venv", "wheels", "disk", "clock", "environments", "cpu"} <= set(found)
    assert found["clock"]["found"] == "as here" and "env-onnx-" in found["environments"]["found"]
