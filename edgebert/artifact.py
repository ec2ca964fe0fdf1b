"""The artifact: a folder that holds one model for one engine, and everything needed to trust it.

Layout and meaning of each file: `docs/artifact.md`. Integrity is checked here, before any native loader
sees a byte: parsers of model formats accept damaged files and compute other numbers from them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from edgebert.errors import ArtifactError
from edgebert.protocols import TensorSpec

#: 2 added the settings of the task; 1 is read too.
FORMAT_VERSION = 2
MANIFEST = "manifest.json"
GOLDEN = "golden.json"


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says; field by field in `docs/artifact.md`."""

    task: str
    labels: tuple[str, ...]
    format: str
    precision: str
    model_files: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_length: int
    lengths: tuple[int, ...] = ()
    task_settings: Mapping[str, Any] = field(default_factory=dict)
    batch: int | None = None
    precision_parts: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    lineage: tuple[Mapping[str, Any], ...] = ()
    proven: tuple[Mapping[str, str], ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    licence: str = "unknown"
    tokenizer_graph: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`onnx-int8`: format and precision."""
        return f"{self.format}-{self.precision}"


@dataclass(frozen=True)
class Artifact:
    """A verified artifact folder."""

    path: Path
    manifest: Manifest
    artifact_id: str

    @property
    def model_path(self) -> Path:
        """The file that the engine is given."""
        return self.path / self.manifest.model_files[0]

    @property
    def model_bytes(self) -> int:
        """Bytes of the files that the engine reads."""
        return sum(int(self.manifest.files[name]["bytes"]) for name in self.manifest.model_files)

    @property
    def folder_bytes(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in _files(self.path).values())

    def golden(self) -> dict[str, Any]:
        """What `golden.json` says."""
        loaded: dict[str, Any] = json.loads((self.path / GOLDEN).read_text("utf-8"))
        return loaded


def sha256(path: Path) -> str:
    """SHA-256 of one file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and hashes of all files of a folder, sorted: the same content, the same hash."""
    lines = [f"{sha256(path)}  {name}\n" for name, path in sorted(_files(folder).items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def save(folder: Path, manifest: Manifest, target: Path) -> Artifact:
    """Make an artifact of `folder`: hash its files, write the manifest, move it to `target`.

    The move is a rename of a complete, synced folder, so that `target` never holds half an artifact;
    what stood there before is replaced. `folder` must be on the same file system, and is gone afterwards.

    Raises:
        ArtifactError: the folder holds links, or names that clash on some file system.
    """
    (folder / MANIFEST).unlink(missing_ok=True)
    files = {
        name: {"sha256": sha256(path), "bytes": path.stat().st_size} for name, path in sorted(_files(folder).items())
    }
    body = asdict(manifest) | {"files": files, "format_version": FORMAT_VERSION}
    if not manifest.tokenizer_graph:  # so that artifacts without one are what they were, and read by whoever read them
        del body["tokenizer_graph"]
    (folder / MANIFEST).write_text(_text(body | {"checksum": _checksum(body)}), encoding="utf-8")
    for path in _files(folder).values():
        _sync(path)
    _sync(folder)
    replace_folder(folder, target)
    return load(target)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a folder to `target`, in whose place nothing or an older one stands."""
    import shutil  # here and not above: a device that only loads artifacts starts sooner without them
    import tempfile

    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}-old-*"):  # of a process that was killed between the renames
        shutil.rmtree(stale, ignore_errors=True)
    if target.exists():
        # Two renames: a reader sees the old folder, none, or the new one, but never a mixture.
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
        target.rename(old / "folder")
        source.rename(target)
        shutil.rmtree(old)
    else:
        source.rename(target)
    _sync(target.parent)


def load(path: str | Path) -> Artifact:
    """Read and verify an artifact: manifest, version, and the hash of every file.

    Raises:
        ArtifactError: no artifact, damaged, or of another format version.
    """
    folder = Path(path)
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        what = "does not exist" if not folder.exists() else f"has no {MANIFEST}"
        raise ArtifactError(
            f"no artifact: {folder} {what}",
            "give a folder that edgebert made (edgebert run, edgebert export)",
        )
    present = _files(folder)
    manifest = _parse(manifest_path)
    missing = sorted(set(manifest.files) - set(present))
    extra = sorted(set(present) - set(manifest.files) - {MANIFEST})
    if missing or extra:
        found = ", ".join([f"{name} is missing" for name in missing] + [f"{name} is not listed" for name in extra])
        raise ArtifactError(f"{folder} does not hold what its manifest lists: {found}", "copy or export it again")
    hashes = {MANIFEST: sha256(manifest_path)}
    for name, entry in sorted(manifest.files.items()):
        size = present[name].stat().st_size
        if size != entry["bytes"]:
            raise ArtifactError(
                f"{folder}/{name} is damaged: {size:,} bytes where the manifest says {entry['bytes']:,}",
                "copy or export it again",
            )
        hashes[name] = sha256(present[name])
        if hashes[name] != entry["sha256"]:
            raise ArtifactError(
                f"{folder}/{name} is damaged: its SHA-256 is not the manifest's", "copy or export it again"
            )
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return Artifact(folder, manifest, hashlib.sha256(lines.encode()).hexdigest())


def _parse(path: Path) -> Manifest:
    """The manifest of a file, after its version and its own checksum were looked at."""
    damaged = ("its manifest.json is damaged", "copy or export it again")
    try:
        text = path.read_text("utf-8")
        body = json.loads(text)
        version = body.pop("format_version")
        checksum = body.pop("checksum")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArtifactError(f"{path.parent}: {damaged[0]} ({error})", damaged[1]) from error
    if version not in (FORMAT_VERSION - 1, FORMAT_VERSION):
        raise ArtifactError(
            f"{path.parent} has artifact format version {version}; this edgebert reads versions {FORMAT_VERSION - 1} "
            f"and {FORMAT_VERSION}",
            "export it again with this edgebert, or install the edgebert that made it",
        )
    if checksum != _checksum(body | {"format_version": version}):
        raise ArtifactError(f"{path.parent}: {damaged[0]} (its checksum does not match)", damaged[1])
    if text != _text(body | {"format_version": version, "checksum": checksum}):  # 1e-06 as 1E-06, a line end cut off
        raise ArtifactError(f"{path.parent}: {damaged[0]} (it is not as it was written)", damaged[1])
    try:
        for key in ("inputs", "outputs"):
            body[key] = tuple(TensorSpec(t["name"], t["dtype"], tuple(t["shape"])) for t in body[key])
        for key in ("labels", "model_files", "lengths", "lineage"):
            body[key] = tuple(body[key])
        body["proven"] = tuple(body.get("proven", ()))
        manifest = Manifest(**body)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path.parent}: {damaged[0]} ({error})", damaged[1]) from error
    for name in [*manifest.files, *manifest.model_files]:
        _check_name(name, path.parent)
    return manifest


def _text(body: Mapping[str, Any]) -> str:
    """The one way in which a manifest is written."""
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _checksum(body: Mapping[str, Any]) -> str:
    """SHA-256 over everything that the manifest says, as canonical JSON."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _files(folder: Path) -> dict[str, Path]:
    """Relative name -> path of every file below a folder; links and clashing names are refused."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ArtifactError(f"{path} is a symbolic link", "an artifact holds plain files only: copy the file")
        if path.is_dir():
            continue
        if not path.is_file() or path.stat().st_nlink > 1:
            raise ArtifactError(f"{path} is a hard link or no plain file", "an artifact holds plain files only")
        found[path.relative_to(folder).as_posix()] = path
    folded: dict[str, str] = {}
    for name in found:
        _check_name(name, folder)
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise ArtifactError(f"{folder}: {other} and {name} differ in case only", "rename one of them")
    return found


def _check_name(name: str, folder: Path) -> None:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or not name:
        raise ArtifactError(f"{folder}: the file name {name!r} leads out of the artifact", "do not load it")


def _sync(path: Path) -> None:
    """Have the operating system put a file or folder on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
