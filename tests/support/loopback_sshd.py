"""A real sshd on loopback: another machine, as far as the ssh client can tell, though its files are ours to look at."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from edgebert.devices import environments
from edgebert.devices.ssh import CONFIG, Ssh

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keygen(path: Path) -> Path:
    """A new key pair without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def changed(config: Path, folder: Path, pattern: str, replacement: str) -> Path:
    """Another config in `folder`: that one with a line changed."""
    text, count = re.subn(pattern, replacement, config.read_text())
    assert count == 1
    (folder / "config").write_text(text)
    return folder / "config"


class Sshd:
    """The server, its keys, and a client config in which `pi` is its host. Its user's cache folder is `cache`."""

    def __init__(
        self, folder: Path, cache: Path | None = None, path: str | None = None, more: str = "", **environment: str
    ) -> None:
        assert SSHD is not None
        self.folder = folder
        self.cache = cache or folder / "cache"
        self.edgebert = self.cache / "edgebert"
        self.port = free_port()
        self.key = keygen(folder / "id")
        self.host_key = keygen(folder / "host_key")
        authorized = folder / "authorized_keys"
        shutil.copy(folder / "id.pub", authorized)
        # The Python that is found there is the one that runs the tests, without its packages.
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
        variables = environment | {"XDG_CACHE_HOME": self.cache, "PATH": path or f"{folder}/bin:/usr/bin:/bin"}
        server = folder / "sshd_config"
        server.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.host_key}\nPidFile {folder}/sshd.pid\n"
            f"AuthorizedKeysFile {authorized}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n"
            f"SetEnv {' '.join(f'{key}={value}' for key, value in variables.items())}\n{more}"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in
        self._server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(server)], stderr=(folder / "sshd.log").open("w"), start_new_session=True
        )
        self.known_hosts = folder / "known_hosts"
        self.config = self.write_config()
        self._await()

    def write_config(self, name: str = "config", port: int | None = None, key: Path | None = None) -> Path:
        """A client config: `pi` is this server, perhaps by another port or with another key."""
        public = (self.folder / "host_key.pub").read_text().split()
        ports = dict.fromkeys((self.port, port or self.port))
        if not self.known_hosts.exists():
            self.known_hosts.write_text("")
        known = self.known_hosts.read_text()
        with self.known_hosts.open("a") as handle:
            handle.writelines(
                f"[127.0.0.1]:{number} {public[0]} {public[1]}\n" for number in ports if f"]:{number} " not in known
            )
        path = self.folder / name
        path.write_text(
            f"Host pi\n  HostName 127.0.0.1\n  Port {port or self.port}\n  User {pwd.getpwuid(os.getuid()).pw_name}\n"
            f"  IdentityFile {key or self.key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {self.known_hosts}\n"
            "  GlobalKnownHostsFile none\n"
        )
        return path

    def prepare(self) -> None:
        """Make the environment of ONNX Runtime there, of the packages that run the tests, as if used before."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(CONFIG, str(self.config))
            device = Ssh("pi")
            device.cleanup()
        folder = self.edgebert / environments.environment_name("onnx", device.hello)
        venv.create(folder, with_pip=False, symlinks=True)
        site = next((folder / "lib").glob("python*")) / "site-packages"
        packages = [path for path in sys.path if path.endswith("site-packages")]
        (site / "packages.pth").write_text("\n".join(packages) + "\n")
        (folder / "ready").touch()

    def left(self) -> list[str]:
        """What is on the device that no session may leave: session folders, and processes that work in them."""
        found = [str(path) for path in self.edgebert.glob("session-*")]
        for entry in os.listdir("/proc"):  # noqa: PTH208 (entries vanish under a Path's stat)
            try:
                where = os.readlink(f"/proc/{entry}/cwd")  # noqa: PTH115
            except OSError:
                continue
            if where.startswith(str(self.edgebert)):
                found.append(f"process {entry} in {where}")
        return found

    def await_clean(self, seconds: float) -> None:
        """Wait until nothing is left there; fails after so many seconds."""
        deadline = time.monotonic() + seconds
        while found := self.left():
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def connections(self) -> list[int]:
        """The processes that serve a connection."""
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        return [int(child) for child in children]

    def close(self) -> None:
        """End the server and its connections."""
        for child in self.connections():
            os.kill(child, signal.SIGKILL)
        self._server.kill()
        self._server.wait()

    def _await(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "sshd.log").read_text()
                time.sleep(0.05)
