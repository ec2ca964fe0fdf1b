"""The relocatable bundle: Python with glibc, numpy, tokenizers and one engine, for a machine that has none of them.

It is built here for the machine there, without root and without running any of it: Debian packages are unpacked
(`debian.py`), wheels unzipped. A bundle is made of layers, each a folder of its own that is named by the hash of
its content, pushed once, and shared by all that need it:

============ ====================================================================================
`python`     glibc's loader and libraries, Python and its standard library, numpy, tokenizers
`onnx` …     one engine: onnxruntime, ai-edge-litert or openvino, in the version that is here
`edgebert`   our own code
============ ====================================================================================

Nothing in a layer holds an absolute path: programs are run through the bundle's own loader (`command`).
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgebert.errors import DeviceError, UsageError

from .. import wheel
from . import debian

#: Raised when the same inputs would give another layer.
VERSION = 1

ENGINES = {"onnx": ("onnxruntime",), "tflite": ("ai-edge-litert", "backports.strenum"), "openvino": ("openvino",)}
BASE = ("numpy", "tokenizers")

_LIBRARIES = (
    "libc", "libm", "libdl", "libpthread", "librt", "libutil", "libresolv", "libstdc++", "libgcc_s", "libgomp",
    "libatomic", "libz", "libexpat", "libffi", "libbz2", "liblzma", "libuuid",
)  # fmt: skip
#: Of the standard library: what no worker needs, a third of its size.
_NO_STDLIB = {
    "ensurepip", "idlelib", "tkinter", "turtledemo", "lib2to3", "pydoc_data", "test", "tests", "sqlite3", "curses",
    "dbm", "wsgiref", "xmlrpc", "venv", "distutils", "_sysconfigdata", "__pycache__",
}  # fmt: skip
#: Of wheels: tests, headers, converters, and what only a host does.
_NO_WHEEL = {
    "numpy": ("f2py", "distutils", "doc", "_core/include", "_core/lib", "random/lib"),
    "onnxruntime": ("transformers", "tools", "quantization", "backend", "datasets"),
    "ai_edge_litert": ("aot", "vendors", "tools"),
    "openvino": (
        "include",
        "cmake",
        "tools",
        "torch",
        "frontend/pytorch",
        "frontend/tensorflow",
        "frontend/jax",
        "libs/cache.json",
    ),
}
_NO_LIBRARY = (
    "WebGpu", "genai", "converter", "calibration", "openvino_pytorch", "openvino_tensorflow", "openvino_paddle",
    "openvino_jax", "openvino_c.so", "openvino_intel_gpu", "openvino_intel_npu", "openvino_onnx_frontend",
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One layer, packed.

    Args:
        name: `python`, an artifact format, or `edgebert`.
        hash: SHA-256 of its content, in hex.
        archive: a tar.gz of the layer's files.
    """

    name: str
    hash: str
    archive: Path

    @property
    def folder(self) -> str:
        """The name of its folder on a device."""
        return f"bundle-{self.name}-{self.hash[:20]}"


def layer(name: str, machine: str) -> Layer:
    """The layer of that name for `aarch64` or `x86_64`; built on first use, then kept.

    Raises:
        DeviceError: packages or wheels cannot be had.
        UsageError: no engine runs artifacts of the format `name` in a bundle.
    """
    if name != "python" and name != "edgebert" and name not in ENGINES:
        raise UsageError(f"{name} artifacts do not run in a bundle", f"formats that do: {', '.join(ENGINES)}")
    cache = cache_folder() / machine
    with tempfile.TemporaryDirectory(prefix="edgebert-bundle-") as scratch:
        if name == "edgebert":
            return _packed(name, _own_code(Path(scratch)), cache)
        release = platform.freedesktop_os_release().get("VERSION_ID", "")  # decides which Python it is
        wanted = {"builder": VERSION, "machine": machine, "release": release} | versions(
            BASE if name == "python" else ENGINES[name]
        )
        key = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:20]
        note, archive = cache / f"{name}-{key}.json", cache / f"{name}-{key}.tar.gz"
        if note.is_file() and archive.is_file():
            return Layer(name, json.loads(note.read_text("utf-8"))["hash"], archive)
        tree, state = Path(scratch, "layer"), cache / "apt"
        python = debian.python_version(machine, state)
        if name == "python":
            _interpreter(machine, python, state, Path(scratch, "debian"), tree)
            _wheels(BASE, machine, python, tree / "site")
        else:
            _wheels(ENGINES[name], machine, python, tree)
        made = _packed(name, _files(tree), cache, key)
    note.write_text(json.dumps(wanted | {"hash": made.hash, "python": python}), "utf-8")
    return made


def command(folders: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """How Python is run there: environment and command, to which a script or `-m module` is added.

    Args:
        folders: layer name -> its folder on the device; `python` is among them.
    """
    base = folders["python"]
    site = [f"{base}/site", *(path for name, path in folders.items() if name != "python")]
    libraries = [f"{base}/lib"]
    if "openvino" in folders:  # its plug-ins find one another by the loader alone
        libraries.append(f"{folders['openvino']}/openvino/libs")
    environment = {
        "PYTHONHOME": f"{base}/py",  # without it Python takes the standard library of the machine that it is on
        "PYTHONPATH": ":".join(site),
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONUTF8": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    return environment, [f"{base}/ld.so", "--library-path", ":".join(libraries), f"{base}/python3", "-S"]


def cache_folder() -> Path:
    """Where built layers are kept: EDGEBERT_CACHE, or `edgebert` in the user's cache folder."""
    given = os.environ.get("EDGEBERT_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebert"
    return base / "bundles"


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """The versions that are here, so that the device computes with the same engine; "" for what is not here."""
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def _interpreter(machine: str, python: str, state: Path, scratch: Path, tree: Path) -> None:
    """Loader, libraries, Python and its standard library, out of Debian's packages."""
    packages = [f"python{python}-minimal", f"libpython{python}-stdlib", "libstdc++6", "libgomp1", "libatomic1"]
    debian.fetch(packages, machine, state, scratch)
    (tree / "lib").mkdir(parents=True)
    folders = (f"{machine}-linux-gnu", "lib", "lib64")
    libraries = [path for path in sorted(scratch.rglob("*.so*")) if path.parent.name in folders and path.is_file()]
    aliased = {path.resolve() for path in libraries if path.is_symlink()}  # programs ask for the shorter names
    for library in libraries:
        if library.name.startswith("ld-linux-"):
            shutil.copyfile(library, tree / "ld.so")
        elif _wanted(library.name) and (library.is_symlink() or library.resolve() not in aliased):
            shutil.copyfile(library, tree / "lib" / library.name)
    shutil.copyfile(scratch / f"usr/bin/python{python}", tree / "python3")
    source = scratch / f"usr/lib/python{python}"

    def dropped(folder: str, names: list[str]) -> set[str]:
        # OpenSSL stays out: a worker never speaks to a network, and hashes have their own code.
        gone = {n for n in names if n in _NO_STDLIB or n.startswith(("config-", "_ssl.", "_hashlib.", "_sqlite3."))}
        return gone | {n for n in names if n.startswith(("_curses", "readline.", "_dbm.", "_tkinter."))}

    shutil.copytree(source, tree / f"py/lib/python{python}", ignore=dropped)
    for name in ("ld.so", "python3"):
        (tree / name).chmod(0o755)


def _wanted(library: str) -> bool:
    stem, _, version = library.partition(".so.")
    return stem in _LIBRARIES and version.replace(".", "").isdigit()


def _wheels(distributions: Iterable[str], machine: str, python: str, target: Path) -> None:
    """Unzip wheels of another machine, without what a device does not need."""
    wanted = [f"{name}=={version}" if version else name for name, version in versions(distributions).items()]
    with tempfile.TemporaryDirectory(prefix="edgebert-wheels-") as scratch:
        arguments = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        arguments += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--dest", scratch]
        for abi in (f"cp{python.replace('.', '')}", "abi3", "none"):
            arguments += ["--abi", abi]
        for tag in ("manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, 37))):
            arguments += ["--platform", f"{tag}_{machine}"]
        done = subprocess.run([*arguments, *wanted], capture_output=True, text=True)
        if done.returncode:
            raise DeviceError(
                f"no wheels for {machine}, Python {python}: {' '.join(done.stderr.split())[-300:]}",
                f"is the package index there, and does it have {', '.join(wanted)} for that machine?",
            )
        for wheel in sorted(Path(scratch).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(target, [name for name in archive.namelist() if _kept(name)])


def _kept(name: str) -> bool:
    package, _, rest = name.partition("/")
    if any(rest == drop or rest.startswith(f"{drop}/") for drop in _NO_WHEEL.get(package, ())):
        return False
    file = name.rpartition("/")[2]
    if "/tests/" in name or name.endswith((".pyi", ".lib", ".h", "/")) or ".data/" in package:
        return False
    return ".so" not in file or not any(part in file for part in _NO_LIBRARY)


def _own_code(folder: Path) -> dict[str, Path]:
    """Our own code, as devices get it everywhere: name -> file."""
    with zipfile.ZipFile(wheel.build(folder)) as archive:
        archive.extractall(folder / "edgebert")
    return _files(folder / "edgebert")


def _files(tree: Path) -> dict[str, Path]:
    return {path.relative_to(tree).as_posix(): path for path in tree.rglob("*") if path.is_file()}


def _packed(name: str, files: Mapping[str, Path], cache: Path, key: str = "") -> Layer:
    """Pack files so that the same content gives the same bytes; the archive gets its name when it is complete."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as raw:
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for inside, path in sorted(files.items()):
                member = tarfile.TarInfo(inside)
                member.size = path.stat().st_size
                member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                with path.open("rb") as handle:
                    archive.addfile(member, handle)
        raw.seek(0)
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
        target = cache / f"{name}-{key or digest[:20]}.tar.gz"
        if key or not target.is_file():
            raw.seek(0)
            with (
                tempfile.NamedTemporaryFile(dir=cache, delete=False) as whole,
                gzip.GzipFile("", fileobj=whole, mode="wb", compresslevel=4, mtime=0) as packed,
            ):
                shutil.copyfileobj(raw, packed, 1 << 20)
            Path(whole.name).rename(target)
    return Layer(name, digest, target)
