"""Debian's packages, from where this computer's own apt gets them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

#: Where what was made of packages is kept.
CACHE = Path(os.environ.get("EDGEBERT_STANDINS") or "~/.cache/edgebert-standins").expanduser()
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: With the programs of root.
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
HELPER = "/usr/lib/apt/apt-helper"


@cache
def mirror() -> str:
    """The address of the mirror.

    Raises:
        FileNotFoundError, subprocess.CalledProcessError, StopIteration: this is no Debian, or apt has no sources.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return next(uri for uri in told if "security" not in uri)


@cache
def unreachable(release: str) -> str:
    """Why packages of that release cannot be had from here; empty when they can. It is apt itself that asks."""
    try:
        address = f"{mirror().rstrip('/')}/dists/{release}/Release"
    except (OSError, subprocess.CalledProcessError, StopIteration):
        return "apt names no mirror"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # apt asks as a user of its own
        command = [HELPER, "-o", "Acquire::http::Timeout=20", "-o", "APT::Sandbox::User=root"]
        asked = [*command, "download-file", address, f"{folder}/Release"]
        try:
            done = subprocess.run(asked, capture_output=True, timeout=120)
        except (OSError, subprocess.TimeoutExpired):
            return f"{address} does not answer"
    return "" if done.returncode == 0 else f"{address} cannot be reached"
