"""`android`, `android:SERIAL`: a phone without root, over the system's adb.

Everything there lies below /data/local/tmp/edgebert, where the shell user may write and run files: bundles
(`bundle.py`), kept by their content, and the session's folder, which goes with the session. The worker runs in the
bundle's own Python, watched by the agent that every remote device has (`..agent`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgebert.artifact import Artifact, sha256
from edgebert.doctor import Finding
from edgebert.errors import DeviceError

from .. import native
from ..remote import BOOTSTRAP, Agent, Engines, digest
from . import adb, bundle, examine, facts, shell

HOME = "/data/local/tmp/edgebert"
#: Machine as `uname -m` tells it -> for which bundles are built.
MACHINES = ("aarch64", "x86_64")

#: Unpack an archive ($1) of the SHA-256 $2 into a folder that gets its name ($3) when it is whole.
_UNPACK = """
fresh=${1%/*}
[ "$(sha256sum < "$1" | cut -c1-64)" = "$2" ] || { echo "error: the copy is damaged" >&2; false; } &&
mkdir "$fresh/unpacked" && zcat < "$1" | tar -x -C "$fresh/unpacked" &&
{ mv "$fresh/unpacked" "$3" || [ -d "$3" ]; }
"""
#: Remove what cut copies left more than an hour ago, and bundles that nobody used for a month.
_SWEEP = """
mkdir -p "$1" && cd "$1" &&
find . -maxdepth 1 -name 'incoming-*' -mmin +60 -exec rm -rf {} + &&
find . -maxdepth 1 -name 'bundle-*' -mtime +30 -exec rm -rf {} +
"""


class Android:
    """A session with one phone; the worker's part of it begins when it is first needed."""

    def __init__(self, serial: str, name: str) -> None:
        self._line = adb.Line(serial, name)
        self.name = self._line.name
        self._layers: dict[str, str] = {}
        self._put: dict[str, str] = {}
        self._engines = Engines()
        self._agent: Agent | None = None

    def facts(self) -> dict[str, Any]:
        """Model, SoC, Android version, cores, features, frequencies, temperatures, throttling, battery: now."""
        return facts.parse(self._line.output(facts.SCRIPT)) | {
            "serial": self._line.serial,
            "python": self._agent.hello["python"] if self._agent else "of the bundle",
        }

    def put(self, source: Path, name: str) -> str:
        """Copy a file or folder into the session's folder, under its content's hash.

        Raises:
            DeviceError: the phone is gone or full.
        """
        key = digest(source)
        if key not in self._put:
            target = f"{self._session().session}/{key}"
            self._line.push(source, target)
            self._put[key] = target
        self._engines.note(source, self._put[key])
        return self._put[key]

    def get(self, path: str, target: Path) -> None:
        """Copy a file back. Raises DeviceError."""
        part = target.with_name(f".{target.name[:100]}.part")
        try:
            self._line.pull(path, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def run(self, job: str, output: Path, *, timeout: float) -> int:
        """Run the worker in the bundle, its lines into `output` as they come.

        Raises:
            DeviceError: it took too long, crashed or was killed, or the phone is gone.
            UsageError: no bundle has an engine for the artifact's format.
        """
        engine = self._engines.of(job).replace("tflite-runtime", "tflite")
        layers = {name: self._layer(name) for name in ("python", engine, "edgebert")}
        environment, launcher = bundle.command(layers)
        agent = self._session()
        environment |= {"TMPDIR": agent.session, "HOME": agent.session}
        return agent.run_worker(launcher, job, output, timeout=timeout, environment=environment)

    def bench_native(
        self, artifacts: Sequence[tuple[str, Artifact]], binary: Path, **plan: Any
    ) -> list[dict[str, Any]]:
        """Figures of a benchmark program of the user's, which needs no bundle; see `native.measure`."""
        with shell.opened(self._line, HOME) as place:
            return native.measure(place, artifacts, binary, **plan)

    def examine(self) -> list[Finding]:
        """What `doctor` says of it beyond its facts."""
        return examine.examine(self._line, HOME)

    def cleanup(self) -> None:
        """End the session; what was put there is removed, bundles stay."""
        agent, self._agent = self._agent, None
        self._put.clear()
        if agent is not None:
            agent.close()

    def _session(self) -> Agent:
        """The agent, started in the bundle's Python when it is first needed."""
        if self._agent is None:
            environment, launcher = bundle.command({"python": self._layer("python")})
            assignments = [f"{name}={value}" for name, value in environment.items()]
            command = self._line.shell(["env", *assignments, *launcher, "-c", BOOTSTRAP])
            # The first start in a fresh bundle compiles the standard library.
            self._agent = Agent(self.name, command, self._line.broken, cache=HOME, timeout=120.0)
        return self._agent

    def _layer(self, name: str) -> str:
        """The folder of a bundle's layer there, pushed when it is not."""
        if name not in self._layers:
            machine = self._line.output("uname -m").strip()
            if machine not in MACHINES:
                raise DeviceError(f"{self.name} is {machine}", f"bundles are made for {' and '.join(MACHINES)}")
            self._layers[name] = self._pushed(bundle.layer(name, machine))
        return self._layers[name]

    def _pushed(self, layer: bundle.Layer) -> str:
        target = f"{HOME}/{layer.folder}"
        if self._line.output('if [ -d "$1" ]; then touch "$1"; echo there; fi', target).strip():
            return target
        self._line.output(_SWEEP, HOME)
        fresh = f"{HOME}/incoming-{secrets.token_hex(8)}"
        try:
            self._line.output('mkdir "$1"', fresh)
            self._line.push(layer.archive, f"{fresh}/archive")
            self._line.output(_UNPACK, f"{fresh}/archive", sha256(layer.archive), target, timeout=900)
        finally:
            with suppress(DeviceError):  # the line may be gone: the next session sweeps
                self._line.output('rm -rf "$1"', fresh)
        return target


def connect(argument: str = "") -> Android:
    """The phone of that serial number, or the only one that is there.

    Raises:
        UsageError: that is no serial number.
        DeviceError: adb is not installed; no phone, several, or none that can be used; or it is too old.
    """
    return Android(adb.choose(argument), f"android:{argument}" if argument else "android")
