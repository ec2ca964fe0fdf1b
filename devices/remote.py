"""What every transport to another machine needs: `Agent`, the host's end of a session there, and copying by content.

A transport gives a command that starts a program there with its stdin and stdout joined to ours (`ssh … HOST COMMAND`,
`adb … shell COMMAND`), and says what that command's own failures mean. All else is the same everywhere: `agent.py`
runs there, starts the jobs, watches their time, and removes everything when this end is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebert.artifact import MANIFEST, sha256
from edgebert.errors import DeviceError

from . import agent as there
from .limits import timeout_factor

#: Seconds between two signs of life, and of silence after which the device gives the session up.
HEARTBEAT = 5.0
SILENCE = 30.0
#: Seconds that the device may take to tell that it ended an overdue job.
GRACE = 3.0
#: Of every worker, wherever it runs.
WORKER_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONUTF8": "1",
}
#: What programs say when a disk is full, tar among them.
FULL = re.compile(r"No space left|Wrote only \d+ of|[Qq]uota exceeded")

_SOURCE = Path(there.__file__).read_bytes()
#: Program text for `python -c`: reads the agent from stdin, which then goes on as its line of orders.
BOOTSTRAP = f"import sys; exec(compile(sys.stdin.buffer.read({len(_SOURCE)}), 'edgebert-agent', 'exec'))"


def quoted(command: Sequence[str]) -> str:
    """A command as one string that a POSIX shell reads back as the same arguments: the only way into a remote shell."""
    return shlex.join(command)


class Agent:
    """A session on a device, from here.

    Args:
        name: of the device, for messages.
        command: runs `python -c BOOTSTRAP` there, our stdin and stdout joined to it.
        explain: turns the exit code and stderr of that command into the error to raise when the session breaks.
        cache: the folder there to work in; None for `edgebert` in the user's cache folder.
        timeout: seconds until it must have answered.

    Every time limit, this one and those of commands, is multiplied by `timeout_factor()`.

    Raises:
        DeviceError: it does not answer.
        UsageError: EDGEBERT_TIMEOUT_FACTOR is no such number.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        explain: Callable[[int, str], DeviceError],
        *,
        cache: str | None = None,
        timeout: float = 60.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._explain = explain
        self._factor = timeout_factor()
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr = b""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True, env=environment,
            )  # fmt: skip
        except OSError as error:
            raise DeviceError(
                f"{name}: {command[0]} cannot be started: {error.strerror}", f"install {command[0]}"
            ) from error
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._read, self._read_errors, self._beat)
        ]
        for thread in self._threads:
            thread.start()
        try:
            self._write(_SOURCE + json.dumps({"silence": SILENCE * self._factor, "cache": cache}).encode() + b"\n")
            self.hello = self._await("hello", time.monotonic() + timeout * self._factor)
        except BaseException:
            self.close()
            raise

    @property
    def session(self) -> str:
        """The session's folder there; it vanishes with the session."""
        return str(self.hello["session"])

    def execute(
        self,
        command: Sequence[str],
        *,
        timeout: float,
        environment: Mapping[str, str] | None = None,
        sink: Callable[[bytes], Any] | None = None,
    ) -> tuple[int, str]:
        """Run a command there to its end: its exit code (negative for a signal), and the end of its stderr.

        Args:
            command: arguments, no shell between.
            timeout: seconds; the device ends it after them, whether we are still there or not.
            environment: added to the device's own.
            sink: gets each whole line of its stdout, with its end of line, as it comes.

        Raises:
            DeviceError: the time is over, or the line broke.
        """
        timeout *= self._factor
        order = {"do": "run", "argv": list(command), "env": dict(environment or {}), "seconds": timeout}
        self._write(json.dumps(order).encode() + b"\n")
        ended = self._await("exit", time.monotonic() + timeout + GRACE, sink, limit=timeout)
        if ended["timed_out"]:
            raise too_slow(self.name, timeout)
        return int(ended["code"]), str(ended["log"])

    def output_of(
        self, command: Sequence[str], *, timeout: float = 60.0, environment: Mapping[str, str] | None = None
    ) -> str:
        """What a command there prints. Raises DeviceError when it fails."""
        lines: list[bytes] = []
        code, log = self.execute(command, timeout=timeout, environment=environment, sink=lines.append)
        if code:
            raise failed(self.name, Path(command[0]).name, log)
        return b"".join(lines).decode("utf-8", "replace")

    def run_worker(
        self, launcher: Sequence[str], job: str, output: Path, *, timeout: float, environment: Mapping[str, str]
    ) -> int:
        """Run a worker there on a job file; its JSON lines stand in `output` as soon as they arrive.

        Args:
            launcher: starts a Python there that has edgebert, numpy, tokenizers and the engine.
            job: path there.
            output: file here.
            timeout: seconds.
            environment: added to `WORKER_ENVIRONMENT`.

        Raises:
            DeviceError: it took too long, crashed or was killed, or the line broke.
        """
        with output.open("wb", buffering=0) as handle:
            code, log = self.execute(
                [*launcher, "-m", "edgebert.worker", job],
                timeout=timeout, environment=WORKER_ENVIRONMENT | dict(environment), sink=handle.write,
            )  # fmt: skip
        check_exit(self.name, code, log)
        return code

    def check(self) -> None:
        """Raise DeviceError when the session has ended: what fails beside it then fails for that reason."""
        if self._process.poll() is not None:
            self._await("nothing", time.monotonic() + 1.0)

    def close(self) -> None:
        """End the session: the device ends what runs, and removes the session's folder."""
        self._closed.set()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), self._lock:
            self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(1.0)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def _await(
        self, kind: str, deadline: float, sink: Callable[[bytes], Any] | None = None, limit: float | None = None
    ) -> dict[str, Any]:
        """The agent's next line of that kind; other lines go to `sink`."""
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                self._process.kill()
                if limit is not None:
                    raise too_slow(self.name, limit) from None
                raise DeviceError(f"{self.name} does not answer", "is it overloaded, or its line broken?") from None
            if line is None:
                self._lines.put(None)  # for whoever asks again
                self._process.wait()
                self._threads[1].join(1.0)
                raise self._explain(self._process.returncode, self._stderr.decode("utf-8", "replace").strip())
            if not line.startswith(there.MARK.encode()):
                if sink is not None and line.strip():
                    sink(line)
                continue
            message: dict[str, Any] = json.loads(line[1:])
            if message["agent"] == "refused":
                raise refused(self.name, message["message"])
            if message["agent"] == kind:
                return message

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError), self._lock:  # a broken line is told by its reading end
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith(b"\n"):  # half a line is no event
                self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), 4096):
            self._stderr = (self._stderr + chunk)[-there.LOG :]

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT):
            self._write(b'{"do": "ping"}\n')


class Engines:
    """Which engine a job needs, seen from what was put: a device installs that one alone."""

    def __init__(self) -> None:
        self._artifacts: dict[str, str] = {}
        self._jobs: dict[str, str] = {}

    def note(self, source: Path, path: str) -> None:
        """`source` was put at `path`."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if (source / MANIFEST).is_file():
                manifest = json.loads((source / MANIFEST).read_text("utf-8"))
                legacy = manifest["format"] == "tflite" and manifest["precision"].endswith("legacy")
                self._artifacts[path] = "tflite-runtime" if legacy else manifest["format"]
            elif source.suffix == ".json":
                self._jobs[path] = self._artifacts[json.loads(source.read_text("utf-8"))["artifact"]]

    def of(self, job: str) -> str:
        """`onnx`, `openvino`, `tflite`, `torch`, or `tflite-runtime` for artifacts that are made for it.

        Raises:
            DeviceError: the job, or the artifact that it names, was not put.
        """
        if job not in self._jobs:
            raise DeviceError(f"{job} is no job whose artifact was put on the device", "put both first")
        return self._jobs[job]


def digest(source: Path) -> str:
    """The first 24 digits of a SHA-256 over a file's content, or over a folder's names and contents."""
    if not source.is_dir():
        return sha256(source)[:24]
    whole = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        whole.update(json.dumps([name, None if path.is_dir() else sha256(path)]).encode())
    return whole.hexdigest()[:24]


def check_exit(name: str, code: int, log: str) -> None:
    """Raise DeviceError for a worker that was killed or crashed; its own errors stand in its output."""
    if code >= 0 and code not in (1, 70, 126, 127):
        return
    tail = " | ".join(log.strip().splitlines()[-3:]) or "it said nothing"
    if code == -signal.SIGKILL:
        raise DeviceError(
            f"{name}: the worker was ended by SIGKILL: {tail}", "was its memory exhausted? see dmesg there"
        )
    died = f"was ended by {signal.Signals(-code).name}" if code < 0 else "crashed"
    raise DeviceError(f"{name}: the worker {died}: {tail}", "see the lines above")


def too_slow(name: str, timeout: float, what: str = "a job") -> DeviceError:
    """Something went over its time."""
    return DeviceError(f"{name}: {what} took longer than {timeout:g} s", "is the machine overloaded?")


def refused(name: str, message: str) -> DeviceError:
    """A file or folder could not be made there."""
    if FULL.search(message):
        return DeviceError(f"{name}: its disk is full: {message}", "free some space there, and run the command again")
    return DeviceError(f"{name}: {message}", "edgebert needs a folder there that it may write to")


def failed(name: str, what: str, log: str) -> DeviceError:
    """A command there failed; a full disk is told as such."""
    tail = " | ".join(log.strip().splitlines()[-3:]) or "it said nothing"
    if FULL.search(log):
        return refused(name, tail)
    return DeviceError(f"{name}: {what} failed: {tail}", "see the lines above")
