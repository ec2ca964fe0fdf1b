"""The system's adb client: arguments as lists, and what its failures mean.

Traps that decide how it is used here: `adb shell` returns 0 when the line breaks, so a job is done only when it
said so itself; ending the client leaves what it started running, so work there looks after itself.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgebert.errors import DeviceError, UsageError

from ..agent import die_with_parent
from ..limits import timeout_factor
from ..remote import quoted, refused

#: Serial numbers, HOST:PORT, and the service names of wireless debugging.
_SERIAL = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._:%\[\] ()-]*")

#: State in `adb devices` -> what it means, and how to mend it.
_STATES = {
    "unauthorized": (
        "has not authorized this computer",
        "unlock the phone and accept the question about USB debugging; if none appears, revoke the authorizations "
        "in its developer options and plug it in again",
    ),
    "authorizing": ("is still being authorized", "unlock the phone and accept the question about USB debugging"),
    "offline": ("is offline", "plug it in again or switch USB debugging off and on; then: adb reconnect offline"),
    "no permissions": (
        "cannot be opened by this user",
        "install the udev rules of your distribution (android-sdk-platform-tools-common) and plug it in again",
    ),
    "recovery": ("is in recovery", "boot it into Android"),
    "sideload": ("is in sideload mode", "boot it into Android"),
    "bootloader": ("is in its bootloader", "boot it into Android"),
}


def client() -> str:
    """The path of the adb client. Raises DeviceError when it is not installed."""
    found = shutil.which("adb")
    if found is None:
        raise DeviceError(
            "adb is not installed", "install Android's platform tools (Debian and Ubuntu: apt install adb)"
        )
    return found


def call(arguments: Sequence[str], *, timeout: float = 30.0) -> subprocess.CompletedProcess[bytes]:
    """Run the client; whatever it returned.

    Raises:
        DeviceError: it is not installed, or takes longer than `timeout` seconds, times `timeout_factor()`.
    """
    command, timeout = [client(), *arguments], timeout * timeout_factor()
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, preexec_fn=die_with_parent
        )
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"adb {arguments[0]} did not end within {timeout:g} s", "is the phone hung? plug it in again"
        ) from error


def listed() -> dict[str, str]:
    """Serial -> state of every device that the adb server sees."""
    done = call(["devices"])
    if done.returncode:
        raise DeviceError(f"adb devices failed: {_said(done)}", "start the server anew: adb kill-server")
    found = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        serial, tab, state = line.partition("\t")
        if tab:
            found[serial] = "no permissions" if state.startswith("no permissions") else state.strip()
    return found


def choose(serial: str) -> str:
    """The serial to talk to: the one that was given, or the only one that is there.

    Raises:
        UsageError: it cannot be a serial number.
        DeviceError: it is not there, or cannot be used; or none was given, and there is none or several.
    """
    if serial and not _SERIAL.fullmatch(serial):
        raise UsageError(f"android:{serial!r} is no serial number", "adb devices lists them")
    states = listed()
    if not serial:
        if not states:
            raise DeviceError("no Android device is there", "plug one in with USB debugging on; adb devices lists them")
        if len(states) > 1:
            raise DeviceError(
                f"{len(states)} Android devices are there: {', '.join(sorted(states))}",
                f"say which: android:{min(states)}",
            )
        (serial,) = states
    elif serial not in states:
        network = re.fullmatch(r".+:\d+", serial)
        there = f"there are: {', '.join(sorted(states))}" if states else "plug it in with USB debugging on"
        raise DeviceError(f"android:{serial} is not there", f"connect it: adb connect {serial}" if network else there)
    if states[serial] != "device":
        raise unusable(serial, states[serial])
    return serial


def unusable(serial: str, state: str) -> DeviceError:
    """The error for a device in such a state."""
    what, fix = _STATES.get(state, (f"is in the state {state!r}", "adb devices tells its state"))
    return DeviceError(f"android:{serial} {what}", fix)


class Line:
    """Commands and files to one device."""

    def __init__(self, serial: str, name: str = "") -> None:
        self.serial = serial
        self.name = name or f"android:{serial}"  # as a recipe names it

    def shell(self, command: Sequence[str]) -> list[str]:
        """The client's command line that runs `command` there; nothing of it is read by a shell of ours."""
        return [client(), "-s", self.serial, "shell", "-T", f"exec {quoted(command)}"]

    def output(self, script: str, *arguments: str, timeout: float = 30.0) -> str:
        """What a constant script prints there; `arguments` are its `$1` and so on.

        Raises:
            DeviceError: it failed, or the line broke.
        """
        # The mark tells a script that ended from a line that broke: adb returns 0 for both.
        ending = f'{script}\nstatus=$?\necho "edgebert-end:$status"'
        done = call(self.shell(["sh", "-c", ending, "sh", *arguments])[1:], timeout=timeout)
        text, mark, status = done.stdout.decode("utf-8", "replace").rpartition("edgebert-end:")
        if not mark:
            raise self.broken(done.returncode, _said(done))
        if status.strip() != "0":
            raise self.failed(_said(done) or text)
        return text

    def push(self, source: Path, target: str, *, timeout: float = 600.0) -> None:
        """Copy a file or folder to a path there that does not exist yet. Raises DeviceError."""
        done = call(["-s", self.serial, "push", str(source.resolve()), target], timeout=timeout)
        if done.returncode:
            raise self._not_copied(done)

    def pull(self, source: str, target: Path, *, timeout: float = 600.0) -> None:
        """Copy a file from there. Raises DeviceError."""
        done = call(["-s", self.serial, "pull", source, str(target.absolute())], timeout=timeout)
        if done.returncode:
            raise self._not_copied(done)

    def broken(self, code: int, said: str) -> DeviceError:
        """Why the line broke: asked of the adb server."""
        state = listed().get(self.serial)
        if state is None:
            return DeviceError(
                f"{self.name} is gone: it was unplugged, switched off or disconnected",
                "connect it again and run the command again",
            )
        if state != "device":
            return unusable(self.serial, state)
        return self.failed(said or f"the session ended with code {code}")

    def failed(self, said: str) -> DeviceError:
        """A command there failed."""
        tail = " | ".join(said.strip().splitlines()[-3:]) or "it said nothing"
        if "No space left" in tail:
            return refused(self.name, tail)
        return DeviceError(f"{self.name}: {tail}", "see the lines above; adb logcat may tell more")

    def _not_copied(self, done: subprocess.CompletedProcess[bytes]) -> DeviceError:
        said = _said(done)
        if self.serial not in listed() or "closed" in said or "not found" in said:
            return self.broken(done.returncode, said)
        return self.failed(said)


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What the client complained of: on stderr, or (push and pull) among its progress on stdout."""
    lines = (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace").splitlines()
    complaints = [line.strip() for line in lines if "error" in line or "No space left" in line]
    return "\n".join(complaints or [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line])
