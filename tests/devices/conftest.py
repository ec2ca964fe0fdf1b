"""Devices that tests connect to: this computer, another interpreter on it, a real sshd and a real adbd on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import android_standin
import pytest
from android_standin import Standin
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


@pytest.fixture(scope="session")
def android() -> Iterator[Standin]:
    """An Android stand-in of this computer's own architecture, switched on."""
    if reason := android_standin.missing():
        pytest.skip(f"no Android stand-in: {reason}")
    standin = Standin("x86_64")
    try:
        standin.start()
        yield standin
    finally:
        standin.stop()


@pytest.fixture
def phone(android: Standin, monkeypatch: pytest.MonkeyPatch) -> Standin:
    """The stand-in as `android`: the only device that adb sees."""
    monkeypatch.setenv("ADB_SERVER_SOCKET", android.environment["ADB_SERVER_SOCKET"])
    monkeypatch.setenv("EDGEBERT_CACHE", str(android_standin.CACHE))
    android.plug()
    return android
