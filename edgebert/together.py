"""Many devices at once, without one disturbing the other's times.

Each device has a thread of its own. What happens on this computer (measuring on `local`, copying files to a device,
scoring answers) takes turns; waiting for a device elsewhere does not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from edgebert.check import connected
from edgebert.errors import DeviceError, EdgebertError
from edgebert.protocols import Device

T = TypeVar("T")

#: Seconds between two looks at whether the user has interrupted.
_LOOK = 0.2


class Turn:
    """A lock that is given in the order of asking: a plain one would starve who asks rarely."""

    def __init__(self) -> None:
        self._guard = threading.Condition()
        self._waiting: deque[object] = deque()

    def __enter__(self) -> None:
        """Wait for one's turn."""
        ticket = object()
        with self._guard:
            self._waiting.append(ticket)
            self._guard.wait_for(lambda: self._waiting[0] is ticket)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next one have it."""
        with self._guard:
            self._waiting.popleft()
            self._guard.notify_all()


class InTurn:
    """A device whose work on this computer takes turns with that of others.

    Args:
        device: connected.
        turn: of this computer.
        stopped: set when nothing new may begin.
    """

    def __init__(self, device: Device, turn: Turn, stopped: threading.Event) -> None:
        self._device, self._turn, self._stopped = device, turn, stopped
        # What runs in an emulator runs, as far as anyone can tell, in one on this computer.
        self._here = device.name.partition(":")[0] == "local" or bool(self.facts().get("emulated"))

    @property
    def name(self) -> str:
        """Of the device."""
        return self._device.name

    def facts(self) -> dict[str, Any]:
        """Of the device, in turn."""
        with self._mine():
            return self._device.facts()

    def put(self, source: Path, name: str) -> str:
        """Copy there, in turn."""
        with self._mine():
            return self._device.put(source, name)

    def get(self, path: str, target: Path) -> None:
        """Copy back, in turn."""
        with self._mine():
            self._device.get(path, target)

    def run(self, job: str, output: Path, *, timeout: float) -> int:
        """Run a job: in turn when it runs on this computer, at once when it runs elsewhere."""
        if self._here:
            with self._mine():
                return self._device.run(job, output, timeout=timeout)
        self._go_on()
        return self._device.run(job, output, timeout=timeout)

    def cleanup(self) -> None:
        """Of the device."""
        self._device.cleanup()

    def _mine(self) -> Turn:
        self._go_on()
        return self._turn

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise DeviceError(f"{self.name}: interrupted", "run the command again: what was finished is kept")


def side_by_side(names: Sequence[str], work: Callable[[Device, Turn], T]) -> dict[str, T | EdgebertError]:
    """Do `work` on every device, at the same time where they do not share a computer.

    Args:
        names: of the devices, all different.
        work: takes the connected device, and the turn to hold for what it does on this computer besides.

    Returns:
        For each device what `work` gave back, or the error that ended it: one that fails does not stop the others.
    """
    turn, stopped = Turn(), threading.Event()
    outcomes: dict[str, T | EdgebertError] = {}
    bugs: list[BaseException] = []
    devices: list[Device] = []

    def one(name: str) -> None:
        try:
            with ExitStack() as stack:
                with turn:
                    device = stack.enter_context(connected(name))
                devices.append(device)
                outcomes[name] = work(InTurn(device, turn, stopped), turn)
        except EdgebertError as error:
            outcomes[name] = error
        except BaseException as error:
            bugs.append(error)

    if len(names) == 1:
        one(names[0])
    else:
        threads = [threading.Thread(target=one, args=(name,), name=name, daemon=True) for name in names]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK)
        except BaseException:
            # Interrupted: nothing new begins, and what was put on the devices is taken away.
            stopped.set()
            for device in devices:
                device.cleanup()
            raise
    if bugs:
        raise bugs[0]
    return {name: outcomes[name] for name in names}
