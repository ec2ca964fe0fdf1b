"""Debian packages of any architecture, fetched by apt's own client and unpacked, without root or emulation.

apt gets a private configuration: its own state, lists and cache in one folder, another architecture, and the
computer's own sources and keys, so that the packages come from where the computer's own come from.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgebert.errors import DeviceError

#: Name of a machine as `uname -m` gives it -> Debian's.
ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}


def fetch(packages: Sequence[str], machine: str, state: Path, target: Path, sources: str = "") -> None:
    """Download packages with all that they depend on, and unpack them below `target`.

    Args:
        packages: names as apt takes them.
        machine: `aarch64` or `x86_64`.
        state: a folder that keeps apt's lists and downloads from one call to the next.
        target: the folder that becomes their root; nothing in it is run.
        sources: lines of a `sources.list` instead of the computer's own.

    Raises:
        DeviceError: this computer has no apt or dpkg, or the packages cannot be had.
    """
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise DeviceError(f"{tool} is not installed", "build the bundle on Debian or Ubuntu")
    with _locked(state):
        environment = os.environ | {"APT_CONFIG": str(_configure(state, ARCHITECTURES[machine], sources))}
        archives = state / "cache/archives"
        for old in archives.glob("*.deb"):
            old.unlink()
        if not _updated(state):
            _apt(["update"], environment)
        _apt(["install", "--download-only", "--no-install-recommends", "--yes", "--", *packages], environment)
        target.mkdir(parents=True, exist_ok=True)
        for package in sorted(archives.glob("*.deb")):
            done = subprocess.run(["dpkg", "-x", str(package), str(target)], capture_output=True, text=True)
            if done.returncode:
                raise DeviceError(f"{package.name} cannot be unpacked: {done.stderr.strip()[-300:]}", "try again")
            package.unlink()


def python_version(machine: str, state: Path) -> str:
    """The Python of the computer's Debian release, such as `3.11`; `state` as `fetch` takes it.

    Raises:
        DeviceError: apt does not tell.
    """
    with _locked(state):
        environment = os.environ | {"APT_CONFIG": str(_configure(state, ARCHITECTURES[machine], ""))}
        if not _updated(state):
            _apt(["update"], environment)
        command = ["apt-cache", "depends", "--no-recommends", "--no-suggests", "python3-minimal"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        name = line.partition("Depends: ")[2]
        if name.startswith("python3.") and name.endswith("-minimal"):
            return name.removeprefix("python").removesuffix("-minimal")
    raise DeviceError(
        f"apt knows no Python for {ARCHITECTURES[machine]}",
        "give apt a source that has this architecture; Debian's own have",
    )


def _updated(state: Path) -> bool:
    return any((state / "lists").glob("*Packages*"))


def _configure(state: Path, architecture: str, sources: str) -> Path:
    """Write apt's private configuration, and return its path."""
    for folder in ("lists/partial", "cache/archives/partial", "dpkg", "parts"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "dpkg/status").touch()
    lines = [
        f'APT::Architecture "{architecture}";',
        f'APT::Architectures {{"{architecture}";}};',
        'APT::Sandbox::User "";',
        'Acquire::Languages "none";',
        'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";',
        f'Dir::State "{state}";',
        f'Dir::State::status "{state}/dpkg/status";',
        f'Dir::Cache "{state}/cache";',
        'Debug::NoLocking "true";',
    ]
    if sources:
        (state / "sources.list").write_text(sources, "utf-8")
        lines += [f'Dir::Etc::SourceList "{state}/sources.list";', f'Dir::Etc::SourceParts "{state}/parts";']
    path = state / "apt.conf"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def _apt(arguments: Sequence[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["apt-get", "-qq", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        said = " | ".join(line for line in done.stderr.splitlines() if line.startswith("E:")) or done.stderr
        raise DeviceError(
            f"apt-get {arguments[0]} failed: {said.strip()[-400:]}",
            "is the network there, and do the apt sources have this architecture?",
        )


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    """One at a time in this folder: apt's downloads of two builds would mix."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
