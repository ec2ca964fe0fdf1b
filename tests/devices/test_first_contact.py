"""A device that edgebert has never seen: the engine is installed there, from the index or carried over."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback_sshd import SSHD, Sshd

from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.devices import environments, wheel
from edgebert.devices.ssh import CONFIG, Ssh
from edgebert.errors import DeviceError
from edgebert.progress import SILENT

HELLO: dict[str, Any] = {
    "session": "/home/pi/.cache/edgebert/session-1", "cache": "/home/pi/.cache/edgebert",
    "executable": "/usr/bin/python3", "python": "3.11.2", "machine": "aarch64", "bits": 64,
    "libc": ["glibc", "2.36"], "free_bytes": 5e9, "time": 1000.0, "pip": True, "environments": [],
}  # fmt: skip


def states(**facts: Any) -> dict[str, tuple[str, str]]:
    return {f.what: (f.state, f.fix) for f in environments.examine(HELLO | facts, now=1000.0)}


def test_doctor_says_what_is_missing_and_how_to_mend_it() -> None:
    assert {state for state, _ in states().values()} == {"ok"}
    assert states(pip=False)["venv"] == ("warning", "sudo apt-get install python3-venv")
    assert states(free_bytes=1e8)["disk"][0] == "missing"
    assert states(time=5000.0)["clock"][0] == "warning" and "set-ntp" in states(time=-5000.0)["clock"][1]
    for facts in ({"machine": "armv7l", "bits": 32}, {"bits": 32}, {"machine": "riscv64"}):
        assert states(**facts)["wheels"] == ("missing", "use a 64-bit system: Raspberry Pi OS (64-bit)")
    assert states(libc=["", ""])["wheels"][0] == "missing"


def test_wheel_tags_of_a_device() -> None:
    tags = environments.platform_tags(HELLO)
    assert tags[0] == "manylinux_2_36_aarch64" and {"manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= set(tags)
    assert "manylinux_2_37_aarch64" not in tags


def test_an_environment_is_named_by_what_decides_it() -> None:
    name = environments.environment_name("onnx", HELLO)
    assert name == environments.environment_name("onnx", HELLO | {"time": 2.0, "free_bytes": 1})
    other = [{"python": "3.12.1"}, {"machine": "x86_64"}, {"executable": "/usr/local/bin/python3"}]
    names = {environments.environment_name("onnx", HELLO | facts) for facts in other}
    assert len(names | {name, environments.environment_name("tflite", HELLO)}) == 5
    with pytest.raises(DeviceError, match="torch models are not measured on other devices"):
        environments.environment_name("torch", HELLO)


def test_our_wheel_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = wheel.build(tmp_path / "a"), wheel.build(tmp_path / "b")
    assert first.name == second.name and first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 1_000_000


@pytest.fixture
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A server whose cache is empty, with what the test wants in its environment."""
    if SSHD is None:
        pytest.skip("no sshd: apt-get install openssh-server")
    with tempfile.TemporaryDirectory(prefix="eb-fresh-") as folder:
        server = Sshd(Path(folder), **request.param)
        monkeypatch.setenv(CONFIG, str(server.config))
        yield server
        server.close()


#: No package index can be reached: nothing listens there.
OFFLINE = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_EXTRA_INDEX_URL": "http://127.0.0.1:9/", "PIP_NO_INDEX": "0",
    "PIP_FIND_LINKS": "/nowhere", "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [{}, OFFLINE], ids=["online", "offline"], indirect=True)
def test_first_contact(
    fresh: Sshd, tiny_artifact: Artifact, records: list[dict[str, str]], capfd: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(launches=1, samples=20, lengths=())
    with connected("ssh:pi") as device:
        found = measure_all([Candidate("tiny", "artifact", tiny_artifact)], device, records, plan, SILENT)[0]
    assert found.golden["ok"] and found.engine.startswith("onnxruntime ")
    assert "ssh:pi: installing onnxruntime for the first time" in capfd.readouterr().err
    kept = sorted(path.name.rpartition("-")[0] for path in fresh.edgebert.iterdir())
    assert kept == ["edgebert", "env-onnx"], "nothing else stays there"
    device = Ssh("pi")
    try:
        python = f"{fresh.edgebert}/{environments.environment_name('onnx', device.hello)}/bin/python"
        code = "import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))"
        installed = set(json.loads(device.session.output_of([python, "-c", code])))
    finally:
        device.cleanup()
    assert {"numpy", "tokenizers", "onnxruntime"} <= installed
    assert not installed & {"torch", "transformers", "huggingface_hub", "pydantic"}
