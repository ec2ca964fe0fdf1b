"""Devices that tests connect to: this computer, another interpreter on it, and a real sshd on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback_sshd import SSHD, Sshd

from edgebert.devices.ssh import CONFIG


@pytest.fixture(scope="session")
def loopback() -> Iterator[Sshd]:
    """The server: a device that has been used before, so that the engine's environment is there.

    The environment is made of the packages that run the tests; how real ones come about, `test_first_contact` shows.
    """
    if SSHD is None:
        pytest.skip("no sshd: apt-get install openssh-server")
    with tempfile.TemporaryDirectory(prefix="eb-sshd-") as folder:
        server = Sshd(Path(folder))
        try:
            server.prepare()
            yield server
        finally:
            server.close()


@pytest.fixture
def sshd(loopback: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    """The server as `ssh:pi`."""
    monkeypatch.setenv(CONFIG, str(loopback.config))
    return loopback
