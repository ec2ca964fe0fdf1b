"""Names that want to be commands, as files, folders, paths and hosts: a canary file must never appear."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_names import NAMES
from loopback_sshd import Sshd, changed

from edgebert.artifact import Artifact
from edgebert.check import connected
from edgebert.cli import main
from edgebert.devices.remote import quoted
from edgebert.devices.ssh import CONFIG, Ssh, connect
from edgebert.errors import DeviceError, UsageError


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file that must not appear; its name stands in the environment, here and on the device."""
    path = tmp_path_factory.mktemp("canary") / "canary"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANARY", str(path))
        yield path


@pytest.fixture(scope="module")
def device(canary: Path) -> Iterator[Ssh]:
    with tempfile.TemporaryDirectory(prefix="eb-inject-") as folder, pytest.MonkeyPatch.context() as patch:
        server = Sshd(Path(folder), CANARY=str(canary))
        patch.setenv(CONFIG, str(server.config))
        server.prepare()
        try:
            with connected("ssh:pi") as connection:
                assert isinstance(connection, Ssh)
                yield connection
        finally:
            server.close()


@pytest.fixture(autouse=True)
def unharmed(canary: Path) -> Iterator[None]:
    yield
    assert not canary.exists()


def test_the_canary_can_appear(canary: Path) -> None:
    """Most of the names do their harm where they are pasted into a command; so the other tests can fail."""
    harmful = 0
    for name in NAMES:
        subprocess.run(["bash", "-c", f"true {name}"], capture_output=True, cwd=canary.parent, timeout=10)
        harmful += canary.exists()
        canary.unlink(missing_ok=True)
    assert harmful >= 25


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_quoting_round_trips(shell: str) -> None:
    done = subprocess.run([shell, "-c", quoted(["printf", "%s\\0", *NAMES])], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(NAMES)
    assert shlex.split(quoted(NAMES)) == list(NAMES)


def test_names_of_files(device: Ssh, tmp_path: Path) -> None:
    """In a folder that is put, and as the path of each file that is got back."""
    folder = tmp_path / "folder"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / name).write_bytes(name.encode())
    path = device.put(folder, NAMES[0])
    for name in NAMES:
        device.get(f"{path}/{name}/{name}", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == name.encode()


@pytest.mark.parametrize("name", NAMES[::10])
def test_names_of_what_is_put(name: str, device: Ssh, tmp_path: Path) -> None:
    """One folder or file by itself; and a path that is not there is told with its name."""
    (tmp_path / name).mkdir()
    (tmp_path / name / name).write_bytes(name.encode())
    assert device.put(tmp_path / name, name).startswith("/")
    path = device.put(tmp_path / name / name, name)
    device.get(path, tmp_path / name / "again")
    assert (tmp_path / name / "again").read_bytes() == name.encode()
    with pytest.raises(DeviceError, match=r"[Nn]o such file"):
        device.get(f"/no/{name}", tmp_path / "nothing")


@pytest.mark.parametrize("name", NAMES)
def test_names_of_hosts(name: str, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the user's config hands the name to a command, as `ProxyCommand` does."""
    proxied = changed(sshd.config, tmp_path, "^Host pi\n", "Host *\n  ProxyCommand /bin/false %h %n %r\n")
    monkeypatch.setenv(CONFIG, str(proxied))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="does not name a host"):
        connect(name)
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_hosts_in_recipes(name: str) -> None:
    with pytest.raises((UsageError, DeviceError)), connected(f"ssh:{name}"):
        pass


def test_names_on_the_command_line(device: Ssh, tiny_artifact: Artifact, tmp_path: Path) -> None:
    """A whole check of an artifact in a hostile folder, on data in a hostile file."""
    hostile = tmp_path / "$(touch $CANARY);'`touch $CANARY`'\"\n| touch $CANARY"
    shutil.copytree(tiny_artifact.path, hostile)
    (tmp_path / "-o$(touch $CANARY).csv").write_text("text,label\nthe $(touch $CANARY) light,lights\n;x,music\n")
    arguments = ["check", str(hostile), "--data", str(tmp_path / "-o$(touch $CANARY).csv"), "--device", "ssh:pi"]
    done = CliRunner().invoke(main, [*arguments, "--launches", "1", "--samples", "20", "--repeats", "0", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["device"] == "ssh:pi"
