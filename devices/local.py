"""This computer: `local`, or `local:PYTHON` for another interpreter on it (such as a tflite-runtime one)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgebert.artifact import Artifact
from edgebert.errors import DeviceError
from edgebert.processes import PARENT
from edgebert.worker import SPAWNED

from . import native
from .facts import linux_facts
from .remote import WORKER_ENVIRONMENT, check_exit, too_slow

#: What another interpreter is asked: why it counts as emulated.
_ASK = "from edgebert.devices.facts import linux_facts; print('emulated:', linux_facts().get('emulated_because', ''))"


class Local:
    """Runs the worker as a subprocess; nothing is copied, since the files are here."""

    def __init__(self, name: str, python: str) -> None:
        self.name = name
        self._python = python
        self._emulated: dict[str, Any] | None = None
        self._scratch = Path(tempfile.mkdtemp(prefix="edgebert-local-"))

    def facts(self) -> dict[str, Any]:
        """The machine's facts, now."""
        if self.name == "local":
            return linux_facts() | {"python": sys.version.split()[0]}
        return linux_facts() | {"python": self._python} | self._emulation()

    def put(self, source: Path, name: str) -> str:
        """The path of `source` itself."""
        return str(source.resolve())

    def get(self, path: str, target: Path) -> None:
        """Copy the file at `path`."""
        try:
            shutil.copyfile(path, target)
        except OSError as error:
            raise DeviceError(f"{self.name}: cannot copy {path}: {error.strerror}", "is the disk full?") from error

    def run(self, job: str, output: Path, *, timeout: float) -> int:
        """Run the worker in a process group of its own, which is gone when this returns.

        Raises:
            DeviceError: it took longer than `timeout` seconds, crashed, or could not be started.
        """
        log = self._scratch / "worker.log"
        # Not the current folder: a folder of the user's named `edgebert` must not be imported in our place.
        environment = os.environ | WORKER_ENVIRONMENT
        if self.name != "local":
            environment |= self._imports()
        environment[PARENT] = str(os.getpid())
        environment[SPAWNED] = str(time.time_ns())
        with log.open("wb") as errors, output.open("wb") as events:
            try:
                process = subprocess.Popen(
                    [self._python, "-m", "edgebert.worker", job], stdin=subprocess.DEVNULL,
                    stdout=events, stderr=errors, env=environment, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise DeviceError(
                    f"{self.name}: {self._python} cannot be started: {error.strerror}",
                    "give a Python interpreter",
                ) from error
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired as error:
                raise too_slow(self.name, timeout) from error
            finally:
                _end(process)
        check_exit(self.name, code, log.read_text("utf-8", errors="replace"))
        return code

    def bench_native(
        self, artifacts: Sequence[tuple[str, Artifact]], binary: Path, **plan: Any
    ) -> list[dict[str, Any]]:
        """Figures of a benchmark program of the user's; see `native.measure`."""
        return native.measure(native.Here(self.name, self._scratch / "native", self.facts), artifacts, binary, **plan)

    def _imports(self) -> dict[str, str]:
        return {"PYTHONPATH": os.pathsep.join(_import_paths(self._scratch))}

    def _emulation(self) -> dict[str, Any]:
        """Whether the interpreter runs in an emulator, as it tells itself; asked once, nothing where it cannot say.

        The features that `/proc/cpuinfo` lists are not the emulated processor's, so they go.
        """
        if self._emulated is None:
            try:
                done = subprocess.run(
                    [self._python, "-c", _ASK], env=os.environ | WORKER_ENVIRONMENT | self._imports(),
                    stdin=subprocess.DEVNULL, capture_output=True, text=True,
                )  # fmt: skip
            except OSError:  # `run` will say so
                return {}
            told = done.stdout.strip().removeprefix("emulated:").strip() if done.stdout.startswith("emulated:") else ""
            self._emulated = {"emulated": True, "emulated_because": told, "features": []} if told else {}
        return self._emulated

    def cleanup(self) -> None:
        """Remove the scratch folder."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def connect(argument: str = "") -> Local:
    """`local`, or another Python interpreter of this computer.

    Raises:
        DeviceError: that interpreter does not exist.
    """
    if not argument:
        return Local("local", sys.executable)
    python = shutil.which(str(Path(argument).expanduser()))
    if python is None:
        raise DeviceError(f"local:{argument}: there is no such Python interpreter", "give the path of one")
    return Local(f"local:{argument}", python)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the worker's process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _import_paths(scratch: Path) -> list[str]:
    """Folders from which another interpreter can import this very edgebert, and nothing else of ours.

    Its own numpy, tokenizers and engine must come from its own environment, so our site-packages stay out:
    a folder of links to our packages is enough.
    """
    farm = scratch / "import"
    package = Path(sys.modules["edgebert"].__file__ or "").parent
    if not farm.exists():
        (farm / "edgebert").mkdir(parents=True)
        for entry in package.iterdir():
            (farm / "edgebert" / entry.name).symlink_to(entry)
        for spoke in ("devices", "runtimes", "export"):
            folder = Path(__file__).parent.parent / spoke
            link = farm / "edgebert" / spoke
            if not link.exists():
                link.symlink_to(folder)
    return [str(farm)]
