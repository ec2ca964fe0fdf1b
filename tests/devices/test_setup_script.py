"""A Pi that was just set up: the script for people, run by ssh as its head says, and what edgebert does there after it.

The machines are Debian 12 and 13 with their own Python, apt, sudo and sshd, on this computer's processor.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import debian_root
import pytest
from debian_root import Debian
from same_answers import assert_same, measure

from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.devices.ssh import CONFIG, Ssh
from edgebert.progress import SILENT

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "devices/setup/raspberry-pi.sh"
#: Release -> its Python.
RELEASES = {"bookworm": "3.11", "trixie": "3.13"}
#: Format -> the engine that answers where there is no tflite-runtime.
ENGINES = {
    "onnx-int8": "onnxruntime ", "openvino-int8": "openvino ", "tflite-int8": "ai-edge-litert ",
    "tflite-int8-legacy": "ai-edge-litert ",
}  # fmt: skip
RUN = "sh raspberry-pi.sh"
#: What the kernel of a Pi shows of its clock; here they are files, and the rest of /sys is empty.
GOVERNORS = " ".join(f"/sys/devices/system/cpu/cpu{number}/cpufreq/scaling_governor" for number in range(4))
#: What its firmware would say through `vcgencmd`, as recorded.
FIRMWARE = """#!/bin/sh
case $1 in
  get_throttled) echo throttled=0x50000 ;;
  measure_temp) echo "temp=48.3'C" ;;
esac
"""
#: No package index answers there, so that engines are carried over.
OFFLINE = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1"}


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_the_shells_of_debian_take_it(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    assert subprocess.run([shell, "-n", SCRIPT]).returncode == 0
    done = subprocess.run([shell, SCRIPT, "--stedy"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "usage: sh raspberry-pi.sh [--steady]\n" and not done.stdout


def test_shellcheck_has_nothing_to_say() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("not installed: shellcheck")
    done = subprocess.run(["shellcheck", "--shell=sh", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module", params=RELEASES)
def pi(request: pytest.FixtureRequest) -> Iterator[tuple[Debian, str]]:
    """A machine that nobody has touched, and its Python."""
    if problem := debian_root.missing(request.param):
        pytest.skip(f"no Debian stand-in: {problem}")
    with debian_root.running(request.param, **OFFLINE) as machine:
        yield machine, RELEASES[request.param]


def state(machine: Debian) -> str:
    """Which packages are there, what apt did so far, and when its lists are of."""
    told = machine.ssh("dpkg -l | sha256sum; cat /var/log/apt/history.log | sha256sum; stat -c %Y /var/lib/apt/lists")
    assert told.returncode == 0
    return told.stdout


@pytest.mark.slow
def test_it_installs_what_is_missing_and_then_nothing(pi: tuple[Debian, str], monkeypatch: pytest.MonkeyPatch) -> None:
    machine, python = pi
    monkeypatch.setenv(CONFIG, str(machine.config))
    before = Ssh("pi")
    try:
        found = {finding.what: finding for finding in before.examine()}
    finally:
        before.cleanup()
    assert found["venv"].state == "warning" and found["python"].found.startswith(f"{python}.")

    machine.scp(SCRIPT)
    untouched = state(machine)
    first = machine.ssh(RUN)
    assert first.returncode == 0, first.stderr
    assert "Setting up python3-venv" in first.stdout
    made = state(machine)
    assert made != untouched
    second = machine.ssh(RUN)
    assert second.returncode == 0 and second.stderr == ""
    assert state(machine) == made, "what is there is not installed again"
    told = [line.split()[0] for line in second.stdout.splitlines()]
    assert (
        told
        == ["system", "python", "clock", "disk", "ready"]
        == [line.split()[0] for line in first.stdout.splitlines() if line.split()[:1] and line.split()[0] in told]
    )
    assert "Debian GNU/Linux" in second.stdout and f"\npython     {python}." in second.stdout
    assert second.stdout.endswith("edgebert doctor ssh:pi\n")

    after = Ssh("pi")
    try:
        assert {finding.state for finding in after.examine()} == {"ok"}
    finally:
        after.cleanup()


@pytest.mark.slow
def test_it_holds_the_clock_and_tells_of_the_past(pi: tuple[Debian, str], tmp_path: Path) -> None:
    machine, _ = pi
    (tmp_path / "vcgencmd").write_text(FIRMWARE)
    for file in (SCRIPT, tmp_path / "vcgencmd"):
        machine.scp(file)
    governors = f"for f in {GOVERNORS}; do sudo mkdir -p $(dirname $f); echo ondemand | sudo tee $f; done"
    prepared = machine.ssh(f"sudo install -m 755 vcgencmd /usr/bin; {governors}")
    assert prepared.returncode == 0, prepared.stderr
    looked = machine.ssh(RUN)
    assert looked.returncode == 0 and "governor   ondemand (for steady figures: --steady" in looked.stdout
    assert "power      throttled=0x50000: it was too hot or its supply too weak" in looked.stdout
    assert "heat       temp=48.3'C" in looked.stdout
    assert machine.ssh(f"cat {GOVERNORS}").stdout.split() == ["ondemand"] * 4, "looking changes nothing"
    for _ in range(2):
        held = machine.ssh(f"{RUN} --steady")
        assert held.returncode == 0 and "governor   performance\n" in held.stdout, held.stderr
        assert machine.ssh(f"cat {GOVERNORS}").stdout.split() == ["performance"] * 4


@pytest.mark.slow
def test_a_check_after_it(
    pi: tuple[Debian, str], tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The engine comes over the line, in wheels for the Python there, and answers as it must."""
    machine, python = pi
    monkeypatch.setenv(CONFIG, str(machine.config))
    plan = Plan(launches=1, samples=20, lengths=())
    with connected("ssh:pi") as device:
        (found,) = measure_all([Candidate("tiny", "artifact", tiny_artifact)], device, records, plan, SILENT)
        facts = json.loads(json.dumps(device.facts()))
    assert found.golden["ok"] and found.engine.startswith("onnxruntime ")
    assert facts["python"].startswith(f"{python}.") and facts["distribution"].startswith("Debian GNU/Linux 1")
    assert found.correct is not None and len(found.correct) == len(records)
    listed = machine.ssh("ls .cache/edgebert").stdout.split()
    assert sorted(name.rpartition("-")[0] for name in listed) == ["edgebert", "env-onnx"], "nothing else stays there"


@pytest.mark.slow
@pytest.mark.parametrize("pi", ["trixie"], indirect=True)
@pytest.mark.parametrize("name", ENGINES)
def test_every_format_on_python_3_13(
    pi: tuple[Debian, str], name: str, students: dict[str, Artifact], sentences: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    machine, _ = pi
    if name not in students:
        pytest.skip(f"EDGEBERT_STUDENTS has no {name}")
    monkeypatch.setenv(CONFIG, str(machine.config))
    one = {name: students[name]}
    there = measure("ssh:pi", one, sentences)[name]
    assert there.golden["ok"] and there.engine.startswith(ENGINES[name])
    assert there.facts_before["python"].startswith("3.13.")
    assert_same(students[name], measure("local", one, sentences)[name], there, sentences)
