"""`ssh:HOST`: any Linux machine that the user's own ssh reaches, such as a Raspberry Pi.

The system's OpenSSH client does the connecting, so the user's config, ProxyJump, agent and known_hosts hold, and it
never asks: a host key that is not known, or a key that wants its passphrase, is an error that says how to mend it.
Options of a command line do not reach the ssh that ProxyJump starts; having no terminal and no askpass does.
One connection carries everything (ControlMaster, its socket in a private folder): the agent, and the copies beside it.
`EDGEBERT_SSH_CONFIG` names another config file than `~/.ssh/config`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from edgebert.doctor import Finding
from edgebert.errors import DeviceError, UsageError

from .environments import Environments, examine
from .limits import timeout_factor
from .remote import BOOTSTRAP, Agent, Engines, digest, failed, quoted, too_slow
from .ssh_faults import cannot_connect

#: A config file to use instead of the user's.
CONFIG = "EDGEBERT_SSH_CONFIG"
#: Seconds that a copy may take before the device is called stuck.
COPY_TIMEOUT = 900.0

#: What ssh hands on to a ProxyCommand passes a shell, so a name has only what host names have.
_HOST = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.+-]*@)?[A-Za-z0-9_\[:][A-Za-z0-9_.:%\[\]-]*")
_NO_PYTHON = 97
#: Neither this ssh nor that of a ProxyJump opens a window to ask (from OpenSSH 8.4 on).
_NEVER_ASK = {"SSH_ASKPASS_REQUIRE": "never"}
#: Runs the first Python there that is new enough.
_FIND_PYTHON = """
for python in python3 python3.13 python3.12 python3.11; do
  if command -v $python >/dev/null && $python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    exec $python -I -c "$1"
  fi
done
exit 97
"""
_FACTS = "import json; from edgebert.devices.facts import linux_facts; print(json.dumps(linux_facts()))"


class Ssh:
    """A session on one host."""

    def __init__(self, host: str) -> None:
        self.name = f"ssh:{host}"
        self._host = host
        self._folder = Path(tempfile.mkdtemp(prefix="edgebert-", dir=_short_folder()))
        self._there: set[str] = set()
        self._engines = Engines()
        self._agent: Agent | None = None
        try:
            command = quoted(["sh", "-c", _FIND_PYTHON, "sh", BOOTSTRAP])
            environment = os.environ | _NEVER_ASK
            self._agent = Agent(
                self.name, [*self._ssh(master=True), f"exec {command}"], self._explain, environment=environment
            )
            self._environments = Environments(self.name, self._agent, self._send)
        except BaseException:
            self.cleanup()
            raise

    @property
    def hello(self) -> dict[str, Any]:
        """What the device said of itself when the session began."""
        return self.session.hello

    def facts(self) -> dict[str, Any]:
        """The machine's facts, now."""
        agent = self.session
        text = agent.output_of(
            [agent.hello["executable"], "-c", _FACTS], environment={"PYTHONPATH": self._environments.package()}
        )
        facts: dict[str, Any] = json.loads(text)
        return facts | {"python": self.hello["python"]}

    def put(self, source: Path, name: str) -> str:
        """Copy a file or folder into the session's folder, under a name made of its content."""
        key = digest(source)
        path = f"{self.session.session}/{key}"
        if key not in self._there:
            self._send(source, path)
            self._there.add(key)
        self._engines.note(source, path)
        return path

    def get(self, path: str, target: Path) -> None:
        """Copy a file back; `target` is whole or not there."""
        part = target.with_name(f".{target.name[:100]}.part")
        try:
            with part.open("wb") as handle:
                self._copy(["cat", "--", path], f"copying {path} back", stdout=handle)
            part.replace(target)
        except OSError as error:
            raise DeviceError(f"{self.name}: cannot write {target}: {error.strerror}", "is the disk full?") from error
        finally:
            part.unlink(missing_ok=True)

    def run(self, job: str, output: Path, *, timeout: float) -> int:
        """Run the worker there, in the environment of the engine that the job's artifact needs.

        Raises:
            DeviceError: the line broke, it took too long, it crashed, or its environment cannot be made.
        """
        python = self._environments.python(self._engines.of(job))
        package = self._environments.package()
        return self.session.run_worker([python], job, output, timeout=timeout, environment={"PYTHONPATH": package})

    def examine(self) -> list[Finding]:
        """What `doctor` says of it beyond its facts."""
        return examine(self.hello, time.time())

    def cleanup(self) -> None:
        """End the session there, and the connection."""
        if self._agent is not None:
            self._agent.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def session(self) -> Agent:
        """What runs commands there."""
        assert self._agent is not None
        return self._agent

    def _ssh(self, *, master: bool) -> list[str]:
        """The ssh command up to the remote command. What is set here wins over the user's config."""
        socket = str(self._folder / "socket").replace("%", "%%")
        options = {
            "BatchMode": "yes",
            "ControlMaster": "yes" if master else "no",
            "ControlPath": socket,
            "ControlPersist": "no",
            "ConnectTimeout": f"{10 * timeout_factor():.0f}",
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": f"{3 * timeout_factor():.0f}",
            "ClearAllForwardings": "yes",
            "ForwardX11": "no",
            "RemoteCommand": "none",
            "LogLevel": "ERROR",
        }
        given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return ["ssh", *self._configured(), "-T", *given, "--", self._host]

    def _configured(self) -> list[str]:
        config = os.environ.get(CONFIG)
        return ["-F", config] if config else []

    def _way(self) -> str | None:
        """The hosts that the user's config goes by (ProxyJump), as it names them; None where it names none."""
        asked = ["ssh", *self._configured(), "-G", "--", self._host]
        told = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
        return next((line.partition(" ")[2] for line in told if line.startswith("proxyjump ")), None)

    def _send(self, source: Path, path: str) -> None:
        """Copy a file or folder to `path` there."""
        folder, _, name = path.rpartition("/")
        command = ["tar", "-xzf", "-", "-C", folder]
        self._copy(command, f"copying {source.name} there", feed=lambda stream: _pack(source, name, stream))

    def _copy(self, command: list[str], what: str, *, feed: Any = None, stdout: IO[bytes] | None = None) -> None:
        """Run a copying command beside the agent."""
        self.session.check()  # without its connection ssh would make another, to a folder that is gone
        remote, limit = quoted(["env", "LC_ALL=C", *command]), COPY_TIMEOUT * timeout_factor()
        with tempfile.TemporaryFile(dir=self._folder) as errors:
            process = subprocess.Popen(
                [*self._ssh(master=False), remote], stderr=errors, stdout=stdout or subprocess.DEVNULL,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL, start_new_session=True,
                env=os.environ | _NEVER_ASK,
            )  # fmt: skip
            try:
                if feed:
                    assert process.stdin is not None
                    with contextlib.suppress(BrokenPipeError):  # the other end says why
                        feed(process.stdin)
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.close()
                code = process.wait(limit)
            except subprocess.TimeoutExpired as error:
                raise too_slow(self.name, limit, what) from error
            finally:
                process.kill()
                process.wait()
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
        if code == 255:
            raise self._explain(code, said)
        if code:
            self.session.check()
            raise failed(self.name, what, said)

    def _explain(self, code: int, said: str) -> DeviceError:
        """What an ended connection means."""
        if code == _NO_PYTHON:
            return DeviceError(
                f"{self.name} has no Python 3.11 or newer",
                "sudo apt-get install python3 (Raspberry Pi OS of Debian 12 or newer has it)",
            )
        tail = said.splitlines()[-1] if said else f"ssh ended with code {code}"
        if self._agent is not None:
            return DeviceError(
                f"{self.name}: the line was cut: {tail}", "what was measured so far is kept: run the command again"
            )
        return cannot_connect(self.name, self._host, said or f"ssh ended with code {code}", self._way)


def connect(argument: str = "") -> Ssh:
    """A session on a host of the user's ssh config.

    Raises:
        UsageError: that is no host name.
        DeviceError: it cannot be reached, or has no Python.
    """
    if not _HOST.fullmatch(argument):
        raise UsageError(f"ssh:{argument!r} does not name a host", "use ssh:HOST, with a host of your ssh config")
    return Ssh(argument)


def _pack(source: Path, name: str, stream: IO[bytes]) -> None:
    """Write a file or folder into `stream` as a gzipped tar archive whose only top entry is `name`."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o700 if entry.isdir() else 0o600
        return entry

    with (
        gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w|", dereference=True) as archive,
    ):
        archive.add(source, name, filter=plain)


def _short_folder() -> str | None:
    """Where the control socket can lie: the path of a socket has at most 108 bytes, and ssh adds 17."""
    return None if len(tempfile.gettempdir()) < 50 else "/tmp"
