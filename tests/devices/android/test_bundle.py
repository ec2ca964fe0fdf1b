"""Bundles: what is in them, and what is said when they cannot be built. That they run, other tests show."""

from __future__ import annotations

import tarfile
from pathlib import Path

import android_standin
import pytest
from android_standin import Standin

from edgebert.artifact import Artifact
from edgebert.check import connected
from edgebert.devices.android import HOME, adb, bundle, debian
from edgebert.errors import DeviceError, UsageError


def test_our_own_code_is_packed_the_same_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        monkeypatch.setenv("EDGEBERT_CACHE", str(tmp_path / name))
        made = bundle.layer("edgebert", "aarch64")
        found.append((made.hash, made.archive.read_bytes()))
        assert bundle.layer("edgebert", "aarch64") == made and made.folder == f"bundle-edgebert-{made.hash[:20]}"
    assert found[0] == found[1]
    with tarfile.open(made.archive) as archive:
        names = archive.getnames()
        assert {"edgebert/worker.py", "edgebert/runtimes/onnx.py", "edgebert/tasks/__init__.py"} <= set(names)
        assert not [name for name in names if "compress" in name or name.endswith(".pyc")]
        assert {(m.uid, m.mtime, m.mode) for m in archive} == {(0, 0, 0o644)}
    assert made.archive.stat().st_size < 500_000


def test_the_command_takes_everything_from_the_bundle() -> None:
    environment, command = bundle.command({"python": "/b/p", "openvino": "/b/o", "edgebert": "/b/e"})
    assert command == ["/b/p/ld.so", "--library-path", "/b/p/lib:/b/o/openvino/libs", "/b/p/python3", "-S"]
    assert environment["PYTHONHOME"] == "/b/p/py" and environment["PYTHONPATH"] == "/b/p/site:/b/o:/b/e"


def test_formats_without_an_engine() -> None:
    with pytest.raises(UsageError, match="torch artifacts do not run in a bundle") as caught:
        bundle.layer("torch", "aarch64")
    assert caught.value.hint == "formats that do: onnx, tflite, openvino"


def test_no_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="apt-get is not installed") as caught:
        debian.fetch(["hello"], "aarch64", tmp_path / "state", tmp_path / "target")
    assert "Debian or Ubuntu" in caught.value.hint and not (tmp_path / "target").exists()


def test_packages_that_cannot_be_had(tmp_path: Path) -> None:
    """Real apt, a source without the packages: a folder that is no archive."""
    if reason := android_standin.missing():
        pytest.skip(reason)
    with pytest.raises(DeviceError, match=r"apt-get (update|install) failed"):
        debian.fetch(["hello"], "aarch64", tmp_path / "state", tmp_path / "target", f"deb file:{tmp_path} none main\n")
    assert not (tmp_path / "target").exists()


@pytest.mark.slow
def test_the_bundle_for_phones(phone: Standin) -> None:
    """For aarch64, on any computer: programs of that machine alone, no path of this one, no more than it needs."""
    python, onnx = (bundle.layer(name, "aarch64") for name in ("python", "onnx"))
    assert python.archive.stat().st_size < 35e6 and onnx.archive.stat().st_size < 30e6
    with tarfile.open(python.archive) as archive:
        names = set(archive.getnames())
        assert {"ld.so", "python3", "lib/libc.so.6", "lib/libstdc++.so.6", "site/tokenizers/__init__.py"} <= names
        for name in ("ld.so", "python3", "lib/libc.so.6"):
            member = archive.extractfile(name)
            assert member is not None
            head = member.read(20)
            assert head[:5] == b"\x7fELF\x02" and head[18:20] == b"\xb7\x00", "64-bit, aarch64"
        assert not [m.name for m in archive if m.issym() or m.islnk() or m.name.startswith("/") or ".." in m.name]


@pytest.mark.slow
def test_a_bundle_is_copied_once_and_never_half(
    phone: Standin, tiny_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone.shell(f"rm -rf {HOME}")
    with connected("android") as device:
        device.put(tiny_artifact.path, "artifact")
        first = phone.shell(f"ls -di {HOME}/bundle-*")
    assert "bundle-python-" in first
    with connected("android") as device:
        device.put(tiny_artifact.path, "artifact")
    assert phone.shell(f"ls -di {HOME}/bundle-*") == first
    phone.await_clean(5)

    phone.shell(f"rm -rf {HOME}")
    (tmp_path / "archive").write_bytes(bundle.layer("python", "x86_64").archive.read_bytes()[:-1000])
    push = adb.Line.push
    monkeypatch.setattr(adb.Line, "push", lambda line, _, target: push(line, tmp_path / "archive", target))
    with connected("android") as device, pytest.raises(DeviceError, match="android: error: the copy is damaged"):
        device.put(tiny_artifact.path, "artifact")
    assert not phone.shell(f"ls {HOME}"), "what came otherwise than it was sent gets no name"


@pytest.mark.slow
def test_what_was_cut_is_swept(phone: Standin, tmp_path: Path) -> None:
    """Left over by a copy that was cut: gone with the next bundle, while fresh ones stay."""
    phone.shell(f"rm -rf {HOME}; mkdir -p {HOME}/incoming-old {HOME}/incoming-new {HOME}/bundle-old-1")
    phone.shell(f"touch -d 2020-01-01T00:00:00 {HOME}/incoming-old {HOME}/bundle-old-1")
    (tmp_path / "file").write_text("x")
    with connected("android") as device:
        device.put(tmp_path / "file", "file")
    left = phone.shell(f"ls {HOME}").split()
    assert "incoming-new" in left and "incoming-old" not in left and "bundle-old-1" not in left
    phone.shell(f"rm -rf {HOME}/incoming-new")
