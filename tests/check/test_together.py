"""Devices side by side: nothing on this computer overlaps, waiting for others does, and one failure stays one."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgebert import registry
from edgebert.devices.local import Local
from edgebert.errors import DeviceError, UsageError
from edgebert.protocols import Device
from edgebert.together import InTurn, Turn, side_by_side

#: What each job did when: (device, begin, end), in seconds of the monotonic clock.
done: list[tuple[str, float, float]] = []


class Sleepy(Local):
    """A device whose jobs take a while, and say when they ran."""

    def run(self, job: str, output: Path, *, timeout: float) -> int:
        start = time.monotonic()
        time.sleep(0.3)
        done.append((self.name, start, time.monotonic()))
        return 0

    def put(self, source: Path, name: str) -> str:
        start = time.monotonic()
        time.sleep(0.05)
        done.append((f"put {self.name}", start, time.monotonic()))
        return str(source)


class Emulator(Sleepy):
    def facts(self) -> dict[str, Any]:
        return {"emulated": True}


def sleepy(argument: str = "") -> Device:
    if argument == "gone":
        raise DeviceError("sleepy:gone is not there", "switch it on")
    kind = Emulator if argument.startswith("qemu") else Sleepy
    return kind(f"sleepy:{argument}" if argument else "local", sys.executable)


@pytest.fixture(autouse=True)
def devices(monkeypatch: pytest.MonkeyPatch) -> None:
    done.clear()
    monkeypatch.setattr(sys.modules[__name__], "SLEEPY", sleepy, raising=False)
    for kind in ("sleepy", "local"):
        monkeypatch.setitem(registry.BUILT_IN["devices"], kind, f"{__name__}:SLEEPY")


def work(device: Device, turn: Turn) -> str:
    for _ in range(2):
        device.put(Path(__file__), "x")
        device.run("job", Path("output"), timeout=5)
    return device.name


def overlaps(*names: str) -> bool:
    """Whether two of the jobs of these devices ran at the same time."""
    spans = sorted((start, end, name) for name, start, end in done if name in names)
    return any(b[0] < a[1] and a[2] != b[2] for a, b in itertools.pairwise(spans))


def test_devices_elsewhere_run_at_the_same_time_and_this_one_alone() -> None:
    names = ["local", "sleepy:one", "sleepy:two"]
    assert side_by_side(names, work) == {name: name for name in names}
    assert overlaps("sleepy:one", "sleepy:two"), "waiting for two devices takes the time of one"
    assert not overlaps("local", "put sleepy:one", "put sleepy:two", "put local"), "nothing disturbs this computer"


def test_an_emulator_counts_as_this_computer() -> None:
    side_by_side(["local", "sleepy:qemu"], work)
    assert not overlaps("local", "sleepy:qemu", "put local", "put sleepy:qemu")


def test_one_that_fails_does_not_stop_the_others() -> None:
    found = side_by_side(["sleepy:gone", "sleepy:one", "sleepy:two"], work)
    assert found["sleepy:one"] == "sleepy:one" and found["sleepy:two"] == "sleepy:two"
    failure = found["sleepy:gone"]
    assert isinstance(failure, DeviceError) and failure.message == "sleepy:gone is not there"
    assert list(found) == ["sleepy:gone", "sleepy:one", "sleepy:two"]


def test_a_bug_is_not_swallowed() -> None:
    def broken(device: Device, turn: Turn) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side(["sleepy:one", "sleepy:two"], broken)
    with pytest.raises(ZeroDivisionError):
        side_by_side(["sleepy:one"], broken)


def test_turns_are_given_in_the_order_of_asking() -> None:
    turn, order = Turn(), []

    def take(number: int) -> None:
        with turn:
            order.append(number)
            time.sleep(0.02)

    threads = []
    with turn:
        for number in range(6):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert order == list(range(6))


def test_nothing_new_begins_after_an_interruption() -> None:
    stopped = threading.Event()
    device = InTurn(sleepy("one"), Turn(), stopped)
    stopped.set()
    with pytest.raises(DeviceError, match="interrupted"):
        device.run("job", Path("output"), timeout=1)
    assert not done


def test_an_unknown_kind_of_device_is_an_error_of_that_device() -> None:
    found = side_by_side(["sleepy:one", "toaster:kitchen"], work)
    assert isinstance(found["toaster:kitchen"], UsageError)
