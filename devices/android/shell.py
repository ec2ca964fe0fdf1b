"""A folder on a phone for programs that need no bundle: pushed, run with a time limit, and gone with the line."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from edgebert.errors import DeviceError

from ..agent import die_with_parent
from ..limits import timeout_factor
from ..remote import too_slow
from . import facts
from .adb import Line

#: Run the arguments after the second in a process group of their own, in the folder $1, for at most $2 seconds.
#: adbd sends SIGHUP to this shell when the line breaks; then everything goes. What is ended is named as a process
#: first and then as its group: until `setsid` has run there is no such group, and a watch that outlived its program
#: would hold the line open, and call the folder's next program late.
LAUNCHER = """
folder=$1 seconds=$2; shift 2
cd "$folder" && export TMPDIR="$folder" || exit 125
gone() { kill -9 $job -$job $watch -$watch 2>/dev/null; cd /; rm -rf "$folder"; exit 129; }
setsid "$@" </dev/null 2>&1 & job=$!
setsid sh -c 'sleep "$1" && : > late && kill -9 "$2" -"$2"' sh "$seconds" $job </dev/null >/dev/null 2>&1 & watch=$!
trap gone HUP INT TERM
echo $job > pid
wait $job; status=$?
trap '' HUP INT TERM
kill -9 $watch -$watch 2>/dev/null
rm -f pid
[ -e late ] && rm -f late && echo "edgebert-late"
echo "edgebert-end:$status"
"""


class AndroidShell:
    """One folder; see `edgebert.devices.native.Shell`."""

    def __init__(self, line: Line, folder: str) -> None:
        self.name = line.name
        self.folder = folder
        self._line = line

    def facts(self) -> dict[str, Any]:
        """Of the phone, now."""
        return facts.parse(self._line.output(facts.SCRIPT))

    def put(self, source: Path, path: str) -> None:
        """Copy a file or folder to `path` below the folder."""
        self._line.push(source, f"{self.folder}/{path}")

    def read(self, path: str) -> str:
        """The text of a file below the folder."""
        return self._line.output('cat "$1"', f"{self.folder}/{path}")

    def execute(self, command: Sequence[str], *, timeout: float) -> str:
        """Run a program in the folder; what it printed.

        Raises:
            DeviceError: it failed, took longer than `timeout` seconds, times `timeout_factor()`, or the line broke.
        """
        timeout *= timeout_factor()
        arguments = ["sh", "-c", LAUNCHER, "sh", self.folder, f"{timeout:g}", *command]
        try:
            done = subprocess.run(
                self._line.shell(arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=timeout + 5.0, preexec_fn=die_with_parent,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise too_slow(self.name, timeout) from error
        said, mark, status = done.stdout.decode("utf-8", "replace").rpartition("edgebert-end:")
        if not mark:
            raise self._line.broken(done.returncode, done.stdout.decode("utf-8", "replace"))
        if "edgebert-late" in said:
            raise too_slow(self.name, timeout)
        status = (status.split() or ["?"])[0]  # a shell may still have something to say
        if status != "0":
            tail = " | ".join(said.strip().splitlines()[-3:]) or "it said nothing"
            program = command[0].rpartition("/")[2]
            raise DeviceError(
                f"{self.name}: {program} failed with code {status}: {tail}",
                "is it built for this phone (adb shell uname -m), and linked so that it runs there?",
            )
        return said


@contextmanager
def opened(line: Line, home: str) -> Iterator[AndroidShell]:
    """A fresh folder below `home`, removed afterwards."""
    folder = f"{home}/incoming-{secrets.token_hex(8)}"
    line.output('mkdir -p "$1"', folder)
    try:
        yield AndroidShell(line, folder)
    finally:
        with suppress(DeviceError):  # the line may be gone; what it left is swept by the next session
            line.output('rm -rf "$1"; rmdir "$2" 2>/dev/null; true', folder, home)
