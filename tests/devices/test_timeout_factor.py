"""EDGEBERT_TIMEOUT_FACTOR: every limit of a slow device that many times longer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgebert.devices.limits import FACTOR, timeout_factor
from edgebert.devices.remote import BOOTSTRAP, Agent
from edgebert.errors import DeviceError, UsageError


def test_it_is_a_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    for told, factor in (("", 1.0), ("1", 1.0), ("2.5", 2.5), ("1000", 1000.0)):
        monkeypatch.setenv(FACTOR, told)
        assert timeout_factor() == factor
    monkeypatch.delenv(FACTOR)
    assert timeout_factor() == 1.0


@pytest.mark.parametrize("told", ["0.5", "-3", "nan", "inf", "1001", "long"])
def test_what_is_none_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FACTOR, told)
    with pytest.raises(UsageError, match=f"EDGEBERT_TIMEOUT_FACTOR={told} is no number from 1 to 1000"):
        timeout_factor()


def slow_agent(cache: Path) -> Agent:
    """A device that needs two seconds to start, where half a second is allowed."""
    command = ["sh", "-c", 'sleep 2; exec "$@"', "sh", sys.executable, "-I", "-c", BOOTSTRAP]
    return Agent("slow", command, lambda code, said: DeviceError(f"{code} {said}", ""), cache=str(cache), timeout=0.5)


def test_a_device_that_starts_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="slow does not answer"):
        slow_agent(tmp_path)
    monkeypatch.setenv(FACTOR, "500")
    agent = slow_agent(tmp_path)
    try:
        assert agent.execute(["true"], timeout=1) == (0, "")
    finally:
        agent.close()


def test_a_command_that_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FACTOR, "500")
    agent = slow_agent(tmp_path)
    try:
        assert agent.execute(["sleep", "0.5"], timeout=0.1) == (0, "")
        with pytest.raises(DeviceError, match="a job took longer than 1 s"):
            agent.execute(["sleep", "60"], timeout=1 / 500)
    finally:
        agent.close()
