"""A Debian of any release on this computer's own processor: a root with its own Python and its own sshd.

It is a fresh Raspberry Pi OS as far as setting up goes: a user `pi` who may use sudo, apt with its sources, no
python3-venv, no edgebert. What is done to it lies in a layer of its own and is lost when it ends. Its processes are in
namespaces of their own and end with it. It shares this computer's kernel and network, so it says nothing of a Pi's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mirror
from loopback_sshd import free_port, keygen
from mirror import CACHE, KEYRING, PATH

PROGRAMS = ("mmdebstrap", "unshare", "mount", "chroot", "ssh", "scp")
#: apt and what every Debian has, plus these.
PACKAGES = "python3,openssh-server,sudo"

#: In a mount namespace of its own: the root with a layer over it, then its sshd in the foreground.
_START = """
set -e
hostname pi
mount -t overlay overlay -o lowerdir="$1",upperdir="$2/upper",workdir="$2/work" "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /dev dev
cat /etc/resolv.conf > etc/resolv.conf
mkdir -p run/sshd
exec chroot . /usr/sbin/sshd -D -e -f /etc/ssh/standin
"""
_SSHD = """Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/standin_key
PidFile none
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
SetEnv {environment}
"""


def missing(release: str) -> str:
    """Why it cannot run here; empty when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0 or not KEYRING.is_file():
        return "making a root wants root and Debian"
    return "" if _made(release).is_dir() else mirror.unreachable(release)


def _made(release: str) -> Path:
    decides = hashlib.sha256(f"{PACKAGES} {_make.__code__.co_code.hex()}".encode()).hexdigest()
    return CACHE / f"debian-{release}-{decides[:16]}"


def root(release: str) -> Path:
    """The folder of its files, made when it is not there: by apt and dpkg, as any Debian is installed."""
    folder = _made(release)
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as scratch:
            _make(release, Path(scratch) / "root")
            (Path(scratch) / "root").rename(folder)
    return folder


def _make(release: str, root: Path) -> None:
    options = ["--quiet", "--mode=root", "--variant=apt", f"--include={PACKAGES}", f"--keyring={KEYRING}"]
    environment = os.environ | {"PATH": PATH}
    subprocess.run(["mmdebstrap", *options, release, str(root), mirror.mirror()], check=True, env=environment)
    user = ["useradd", "--create-home", "--shell", "/bin/bash", "--password", "*", "pi"]
    subprocess.run(["chroot", str(root), *user], check=True, env=environment)
    (root / "etc/sudoers.d/pi").write_text("pi ALL=(ALL) NOPASSWD: ALL\n")  # as Raspberry Pi OS has it
    (root / "etc/sudoers.d/pi").chmod(0o440)


@dataclass(frozen=True)
class Debian:
    """A running one; `config` is the ssh config in which it is `pi`."""

    config: Path

    def ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command there, as a person does."""
        return subprocess.run(["ssh", "-F", self.config, "pi", command], capture_output=True, text=True, timeout=300)

    def scp(self, source: Path) -> None:
        """Copy a file to the home folder there, as a person does."""
        subprocess.run(["scp", "-q", "-F", self.config, source, "pi:"], check=True, timeout=60)


@contextmanager
def running(release: str, **variables: str) -> Iterator[Debian]:
    """A machine that nobody has touched.

    Args:
        release: Debian's name of it.
        variables: of the environment that its sshd gives to everyone.
    """
    lower = root(release)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="running-") as scratch:
        folder = Path(scratch)
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        config = _configured(folder, variables)
        log = folder / "sshd.log"
        own = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child"]
        with log.open("w") as errors:
            machine = subprocess.Popen(
                [*own, "sh", "-c", _START, "sh", lower, folder], stderr=errors, stdin=subprocess.DEVNULL
            )
        try:
            _await(["ssh", "-F", str(config), "-o", "BatchMode=yes", "pi", "true"], machine, log)
            yield Debian(config)
        finally:
            machine.kill()
            machine.wait()


def _configured(folder: Path, variables: dict[str, str]) -> Path:
    """Write what the machine's sshd needs into its layer; the client's config for it, with keys made for both."""
    port, etc, home = free_port(), folder / "upper/etc", folder / "upper/home/pi"
    (etc / "ssh").mkdir(parents=True)
    (home / ".ssh").mkdir(parents=True)
    host_key = keygen(etc / "ssh/standin_key")
    told = " ".join(f"{name}={value}" for name, value in variables.items())
    (etc / "ssh/standin").write_text(_SSHD.format(port=port, environment=told or "STANDIN=yes"))
    (etc / "hosts").write_text("127.0.0.1 localhost pi\n")
    key = keygen(folder / "id")
    shutil.copy(f"{key}.pub", home / ".ssh/authorized_keys")
    for path in (home, home / ".ssh", home / ".ssh/authorized_keys"):
        os.chown(path, 1000, 1000)
    known, config = folder / "known_hosts", folder / "config"
    known.write_text(f"[127.0.0.1]:{port} {Path(f'{host_key}.pub').read_text()}")
    config.write_text(
        f"Host pi\n  HostName 127.0.0.1\n  Port {port}\n  User pi\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {known}\n  GlobalKnownHostsFile none\n"
    )
    return config


def _await(command: list[str], machine: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while subprocess.run(command, capture_output=True).returncode:
        assert machine.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
