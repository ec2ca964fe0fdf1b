"""Our own wheel, made of the edgebert that is running: whether it was installed from a wheel or is a checkout."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import zipfile
from collections.abc import Iterator
from pathlib import Path

import edgebert

#: The spokes that a device needs, and the packages and files of the hub that it does not.
_SPOKES = ("devices", "runtimes")
_SKIPPED = {"__pycache__", "compress", "report", "templates", "devices", "export", "runtimes", "examples"}


def build(folder: Path) -> Path:
    """Write `edgebert-VERSION-py3-none-any.whl` into `folder`: what a device needs, the same bytes each time."""
    name = f"edgebert-{edgebert.__version__}"
    info = f"{name}.dist-info"
    metadata = (
        f"Metadata-Version: 2.1\nName: edgebert\nVersion: {edgebert.__version__}\nRequires-Python: >=3.11\n"
        "Summary: the part of edgebert that runs on devices\n"
    )
    members = {place: path.read_bytes() for place, path in sorted(_sources())}
    members[f"{info}/METADATA"] = metadata.encode()
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: edgebert\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = [f"{place},sha256={_record_hash(content)},{len(content)}" for place, content in members.items()]
    members[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    target = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in members.items():
            archive.writestr(zipfile.ZipInfo(place), content, zipfile.ZIP_DEFLATED)
    return target


def _sources() -> Iterator[tuple[str, Path]]:
    """Place in the wheel and path of every file."""
    yield from _below(Path(edgebert.__file__).parent, "edgebert")
    for spoke in _SPOKES:
        found = importlib.util.find_spec(f"edgebert.{spoke}")
        assert found is not None and found.submodule_search_locations is not None
        yield from _below(Path(next(iter(found.submodule_search_locations))), f"edgebert/{spoke}")


def _below(folder: Path, place: str) -> Iterator[tuple[str, Path]]:
    """The Python files of a package and its subpackages."""
    for path in folder.iterdir():
        if path.name in _SKIPPED:
            continue
        if path.is_dir() and (path / "__init__.py").is_file():
            yield from _below(path, f"{place}/{path.name}")
        elif path.suffix == ".py" or path.name == "py.typed":
            yield f"{place}/{path.name}", path


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
