"""What is installed on a device that is reached by ssh, in `~/.cache/edgebert` there, each under a name of its content.

- `edgebert-HASH`: this very edgebert, its wheel unpacked.
- `env-ENGINE-HASH`: a virtual environment with numpy, tokenizers and one engine, in the versions that are installed
  here where there are any. It comes from the package index when the device reaches one, and otherwise from wheels
  that this computer downloads for the device's platform and carries over.

Both are made in the session's folder and renamed when they are whole, so that a cut leaves nothing.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgebert.artifact import sha256
from edgebert.doctor import Finding
from edgebert.errors import DeviceError

from . import wheel
from .remote import FULL, Agent, failed, refused

#: Engine -> its distribution.
ENGINES = {
    "onnx": "onnxruntime",
    "openvino": "openvino",
    "tflite": "ai-edge-litert",
    "tflite-runtime": "tflite-runtime",
}
#: Machines for which all engines have wheels.
MACHINES = ("aarch64", "x86_64")
#: Bytes that an environment takes, with room to make it.
NEEDED = 600_000_000
#: Seconds by which a clock may be off before certificates and dates are in doubt.
CLOCK = 120.0

_INSTALL_TIMEOUT = 1800.0
_UNPACK = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
_FINISH = """
import os, sys
made, target = sys.argv[1:]
with open(os.path.join(made, "ready"), "w"):
    pass
try:
    os.rename(made, target)
except OSError:  # another session was quicker
    sys.exit(not os.path.exists(os.path.join(target, "ready")))
"""


class Environments:
    """The environments of one device, made when they are first needed.

    Args:
        name: of the device, for messages.
        agent: the session.
        send: copies a file or folder to a path there.
    """

    def __init__(self, name: str, agent: Agent, send: Callable[[Path, str], None]) -> None:
        self._name = name
        self._agent = agent
        self._send = send
        self._ready = set(agent.hello["environments"])
        self._package: str | None = None

    def package(self) -> str:
        """The folder there to import edgebert from. Raises DeviceError."""
        if self._package is None:
            with tempfile.TemporaryDirectory(prefix="edgebert-wheel-") as scratch:
                built = wheel.build(Path(scratch))
                name = f"edgebert-{sha256(built)[:16]}"
                if name not in self._ready:
                    there = f"{self._agent.session}/{built.name}"
                    self._send(built, there)
                    self._command([self._python, "-c", _UNPACK, there, f"{self._agent.session}/{name}"], 120)
                    self._finish(f"{self._agent.session}/{name}", name)
            self._package = f"{self._agent.hello['cache']}/{name}"
        return self._package

    def python(self, engine: str) -> str:
        """The interpreter there that has the engine. Raises DeviceError when it cannot be installed."""
        if engine == "tflite-runtime" and _minor(self._agent.hello) > 11:
            engine = "tflite"  # no tflite-runtime there: LiteRT runs such artifacts too
        name = environment_name(engine, self._agent.hello)
        if name not in self._ready:
            self._make(engine, name)
        return f"{self._agent.hello['cache']}/{name}/bin/python"

    @property
    def _python(self) -> str:
        return str(self._agent.hello["executable"])

    def _make(self, engine: str, name: str) -> None:
        hello = self._agent.hello
        if problem := unsupported(hello):
            raise DeviceError(f"{self._name}: {problem.found}", problem.fix)
        print(f"{self._name}: installing {ENGINES[engine]} for the first time, which takes a while", file=sys.stderr)
        made = f"{self._agent.session}/{name}"
        online = self._from_index(engine, made) if hello["pip"] else "it has no python3-venv"
        if online:
            self._carried(engine, made, online)
        self._finish(made, name)

    def _from_index(self, engine: str, made: str) -> str:
        """Install from the package index; why not, in words, when that fails."""
        code, log = self._agent.execute([self._python, "-m", "venv", made], timeout=300)
        pip = [f"{made}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        pip += ["--only-binary=:all:", "--timeout=8", "--retries=0"]
        for arguments in () if code else requirements(engine):
            code, log = self._agent.execute([*pip, *arguments], timeout=_INSTALL_TIMEOUT)
            if code:
                break
        if FULL.search(log):
            raise refused(self._name, log.strip().splitlines()[-1])
        return _last_line(log) if code else ""

    def _carried(self, engine: str, made: str, online: str) -> None:
        """Install from wheels that this computer downloads."""
        self._command([self._python, "-m", "venv", "--clear", "--without-pip", made], 300)
        with tempfile.TemporaryDirectory(prefix="edgebert-wheels-") as scratch:
            tree = Path(scratch) / "site-packages"
            if problem := download(engine, self._agent.hello, tree):
                raise DeviceError(
                    f"{self._name}: {ENGINES[engine]} cannot be installed: from the index there: {online}; "
                    f"wheels downloaded here: {problem}",
                    "bring the device or this computer online, or use a Python for which there are wheels",
                )
            self._send(tree, f"{made}/lib/python3.{_minor(self._agent.hello)}/site-packages")

    def _finish(self, made: str, name: str) -> None:
        self._command([self._python, "-c", _FINISH, made, f"{self._agent.hello['cache']}/{name}"], 60)
        self._ready.add(name)

    def _command(self, command: list[str], timeout: float) -> None:
        code, log = self._agent.execute(command, timeout=timeout)
        if code:
            raise failed(self._name, "installing", log)


def download(engine: str, hello: Mapping[str, Any], tree: Path) -> str:
    """Unpack into `tree` what an engine needs on the device that says `hello`; why not, in words, when that fails."""
    for arguments in requirements(engine):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-compile", "--only-binary=:all:", f"--target={tree}", "--implementation=cp"]
        command += [f"--python-version=3.{_minor(hello)}", *(f"--platform={tag}" for tag in platform_tags(hello))]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        if done.returncode:
            return _last_line(done.stderr)
    return ""


def requirements(engine: str) -> tuple[list[str], list[str]]:
    """Arguments of the two pip commands: what comes with its dependencies, and what comes alone.

    `tokenizers` asks for the client of a model hub, which no device needs.
    """
    if engine == "tflite-runtime":  # its numpy has another major version than ours
        return ["tflite-runtime==2.14.0", "numpy<2"], ["--no-deps", _pinned("tokenizers")]
    return [_pinned(ENGINES[engine]), _pinned("numpy")], ["--no-deps", _pinned("tokenizers")]


def environment_name(engine: str, hello: Mapping[str, Any]) -> str:
    """The name of an environment: its engine, and a hash of what decides its content."""
    if engine not in ENGINES:
        raise DeviceError(f"{engine} models are not measured on other devices", "measure them on local")
    decides = json.dumps([requirements(engine), _minor(hello), hello["machine"], hello["executable"]])
    return f"env-{engine}-{hashlib.sha256(decides.encode()).hexdigest()[:16]}"


def platform_tags(hello: Mapping[str, Any]) -> list[str]:
    """The wheel tags that a device takes, of PEP 600: manylinux of its own glibc and of all before, to 2.17."""
    newest = int(str(hello["libc"][1]).split(".")[1]) if hello["libc"][1] else 17
    machine = hello["machine"]
    return [*(f"manylinux_2_{minor}_{machine}" for minor in range(newest, 16, -1)), f"manylinux2014_{machine}"]


def unsupported(hello: Mapping[str, Any]) -> Finding | None:
    """Why no engine can be installed there; None when they can."""
    fix = "use a 64-bit system: Raspberry Pi OS (64-bit)"
    if hello["machine"] not in MACHINES or hello["bits"] != 64:
        return Finding("wheels", "missing", f"no engine has wheels for {hello['bits']}-bit {hello['machine']}", fix)
    if hello["libc"][0] != "glibc":
        return Finding("wheels", "missing", "no engine has wheels for a system without glibc", "use a Debian system")
    return None


def examine(hello: Mapping[str, Any], now: float) -> list[Finding]:
    """What a device has and lacks; `now` is the time here, in seconds since the epoch."""
    free, skew = hello["free_bytes"], hello["time"] - now
    return [
        Finding("python", "ok", hello["python"]),
        Finding("venv", "ok", "python3-venv")
        if hello["pip"]
        else Finding(
            "venv", "warning", "python3-venv is not installed: packages are carried over from here",
            "sudo apt-get install python3-venv",
        ),
        unsupported(hello) or Finding("wheels", "ok", f"{hello['machine']}, {'-'.join(hello['libc'])}"),
        Finding("disk", "ok", f"{free / 1e9:.1f} GB free in {hello['cache']}")
        if free > NEEDED
        else Finding("disk", "missing", f"{free / 1e6:.0f} MB free in {hello['cache']}", "free about 600 MB there"),
        Finding("clock", "ok", "as here")
        if abs(skew) < CLOCK
        else Finding(
            "clock", "warning", f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the one here",
            "sudo timedatectl set-ntp true (a wrong clock makes secure downloads fail)",
        ),
        Finding("environments", "ok", ", ".join(hello["environments"]) or "none yet: made at the first measurement"),
    ]  # fmt: skip


def _pinned(distribution: str) -> str:
    """In the version that is installed here, if any."""
    try:
        return f"{distribution}=={version(distribution)}"
    except PackageNotFoundError:
        return distribution


def _minor(hello: Mapping[str, Any]) -> int:
    return int(hello["python"].split(".")[1])


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")
