"""What edgebert starts on a remote device for as long as a session lasts: `remote.Agent` sends it over stdin.

It runs in the device's own Python, before anything of edgebert is there, so it needs the standard library alone and
imports nothing of ours. The host speaks to it in JSON lines on stdin, and it owns what the session leaves behind: one
folder, one child process at a time. When the host falls silent (end of file, or no line for `silence` seconds) it ends
the child, removes the folder and goes.

On stdout the child's lines pass untouched, for the child writes there itself; the agent's own begin with MARK.

============================================  ==================================================================
`{"silence": 30, "cache": null}`              first line: seconds; the folder to work in, or null for the user's
`{"do": "ping"}`                              I am still here
`{"do": "run", "argv", "env", "seconds"}`     start a child, which may take so many seconds
============================================  ==================================================================
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import json
import os
import platform
import queue
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

MARK = "\x1e"
#: Bytes of a child's stderr that are kept for a message.
LOG = 4000
#: Loaded before any fork: a child must not load libraries.
LIBC = ctypes.CDLL(None)


class Session:
    """The session's folder and its child."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        cache.mkdir(parents=True, exist_ok=True)
        sweep(cache)
        made = Path(tempfile.mkdtemp(prefix="new-session-", dir=cache))
        self._lock = (made / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.folder = made.rename(cache / made.name.removeprefix("new-"))  # from now on others may sweep it
        self.child: subprocess.Popen[bytes] | None = None
        self.deadline = float("inf")
        self._log = b""
        self._timed_out = False

    def run(self, order: dict[str, Any], inbox: queue.SimpleQueue[Any]) -> None:
        """Start a child in a process group of its own; `inbox` gets `"ended"` when it has ended."""
        environment = {**os.environ, **order["env"], "EDGEBERT_SPAWNED_NS": str(time.time_ns())}
        environment["EDGEBERT_PARENT"] = str(os.getpid())
        self._log, self._timed_out = b"", False
        try:
            self.child = subprocess.Popen(
                order["argv"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder,
                env=environment, start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip
        except OSError as error:
            say(agent="exit", code=127, timed_out=False, log=f"{order['argv'][0]}: {error.strerror}")
            return
        (self.folder / "pid").write_text(str(self.child.pid))
        self.deadline = time.monotonic() + order["seconds"]
        threading.Thread(target=self._watch, args=(self.child, inbox), daemon=True).start()

    def _watch(self, child: subprocess.Popen[bytes], inbox: queue.SimpleQueue[Any]) -> None:
        assert child.stderr is not None
        while chunk := os.read(child.stderr.fileno(), 4096):
            self._log = (self._log + chunk)[-LOG:]
        child.wait()
        inbox.put("ended")

    def overdue(self) -> None:
        """End a child that took too long."""
        self._timed_out, self.deadline = True, float("inf")
        self._kill()

    def ended(self) -> None:
        """Tell how the child ended."""
        child, self.child, self.deadline = self.child, None, float("inf")
        if child is not None:
            group_gone(child.pid)
            (self.folder / "pid").unlink(missing_ok=True)
            log = self._log.decode("utf-8", "replace")
            say(agent="exit", code=child.returncode, timed_out=self._timed_out, log=log)

    def _kill(self) -> None:
        if self.child is not None:
            group_gone(self.child.pid)

    def close(self) -> None:
        """End the child, and remove what the session put here."""
        self._kill()
        for _ in range(5):  # a copy that is cut at this moment may still make a file
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                break
            time.sleep(0.2)


def say(**facts: Any) -> None:
    """One line of the agent's own. A child that was killed may have left half a line, so it begins a new one."""
    os.write(1, f"\n{MARK}{json.dumps(facts)}\n".encode())


def die_with_parent() -> None:
    """Have the kernel end this process when the agent is gone, however that came about (Linux; see prctl(2))."""
    LIBC.prctl(1, signal.SIGKILL)


def group_gone(pid: int) -> None:
    """End a process group."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def sweep(cache: Path) -> None:
    """Remove what sessions left whose agent was killed or whose device lost its power: nobody holds their lock."""
    for folder in cache.glob("*session-*"):
        try:
            with (folder / "lock").open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if folder.name.startswith("new-") and time.time() - folder.stat().st_mtime < 60:
                    continue  # it is being made at this moment
                _end_stray(folder)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, or gone


def _end_stray(folder: Path) -> None:
    """End the process that the pid file names, if it still is one of that session's."""
    try:
        pid = int((folder / "pid").read_text())
        if os.readlink(f"/proc/{pid}/cwd").startswith(str(folder)):  # noqa: PTH115 (a text that may end in "(deleted)")
            group_gone(pid)
    except (OSError, ValueError):
        return


def hello(session: Session) -> dict[str, Any]:
    """What the host must know before it can prepare anything here."""
    return {
        "agent": "hello",
        "session": str(session.folder),
        "cache": str(session.cache),
        "executable": sys.executable,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "libc": platform.libc_ver(),
        "free_bytes": shutil.disk_usage(session.folder).free,
        "time": time.time(),
        "pip": all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip")),
        "environments": sorted(path.parent.name for path in session.cache.glob("env-*/ready")),
    }


def listen(inbox: queue.SimpleQueue[Any]) -> None:
    """Pass on every line of the host, then its silence."""
    for line in sys.stdin.buffer:
        inbox.put(line)
    inbox.put(None)


def serve(settings: dict[str, Any]) -> int:
    """Serve one session."""
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()  # a signal may put into it at any moment
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.put(None))
    cache = Path(settings["cache"] or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebert")
    try:
        session = Session(cache)
    except OSError as error:
        say(agent="refused", message=f"{cache}: {error.strerror}", errno=error.errno)
        return 1
    try:
        say(**hello(session))
        threading.Thread(target=listen, args=(inbox,), daemon=True).start()
        heard = time.monotonic()
        while True:
            now = time.monotonic()
            try:
                item = inbox.get(timeout=max(0.0, min(session.deadline, heard + settings["silence"]) - now))
            except queue.Empty:
                if time.monotonic() < session.deadline:
                    return 0  # the host is silent
                session.overdue()
                continue
            if item is None:
                return 0
            if item == "ended":
                session.ended()
                continue
            heard = time.monotonic()
            order = json.loads(item)
            if order["do"] == "run":
                session.run(order, inbox)
    except BrokenPipeError:
        return 0
    finally:
        session.close()


if __name__ == "__main__":
    code = serve(json.loads(sys.stdin.buffer.readline()))
    os._exit(code)  # not through the interpreter's end, which would wait for the thread that reads stdin
