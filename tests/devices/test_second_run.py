"""`edgebert check` as a process of its own, ended in mid-job: the same command, given again, completes what was cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback_sshd import Sshd

from edgebert.artifact import Artifact
from edgebert.kept import read_events

pytestmark = pytest.mark.slow

SAMPLES = 400


def check(artifact: Artifact, records: list[dict[str, str]], folder: Path) -> subprocess.Popen[str]:
    """The verb, started; what it leaves for a second run lies in `folder`."""
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    plan = ["--device", "ssh:pi", "--launches", "2", "--samples", str(SAMPLES), "--repeats", "0", "--json"]
    command = [sys.executable, "-m", "edgebert", "check", str(artifact.path), "--data", str(data), *plan]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    environment.pop("EDGEBERT_CACHE", None)
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def await_samples(folder: Path, running: subprocess.Popen[str]) -> None:
    """Until some stand here."""
    deadline = time.monotonic() + 60
    while not any(b'"latency"' in file.read_bytes() for file in (folder / "cache/edgebert/jobs").rglob("*.jsonl")):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("ended", ["worker", "host"])
def test_the_same_command_completes_it(
    ended: str, sshd: Sshd, tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path
) -> None:
    running = check(tiny_artifact, records, tmp_path)
    await_samples(tmp_path, running)
    start = time.monotonic()
    if ended == "worker":
        (pid,) = sshd.edgebert.glob("session-*/pid")
        os.kill(int(pid.read_text()), signal.SIGKILL)
        _, said = running.communicate(timeout=30)
        assert running.returncode == 3 and "error: ssh:pi: the worker was ended by SIGKILL" in said
    else:
        running.kill()
        running.communicate(timeout=30)
        assert running.returncode == -signal.SIGKILL
    sshd.await_clean(5)
    assert time.monotonic() - start < 5 + 5

    (file,) = (tmp_path / "cache/edgebert/jobs").rglob("*.jsonl")
    left = [ms for event in read_events(file) if event["event"] == "latency" for ms in event["ms"]]
    assert left

    again = check(tiny_artifact, records, tmp_path)
    shown, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert f"{len(left)} samples are kept as partial" in said
    result = json.loads(shown)
    assert [launch["latency_ms"] for launch in result["partial"]] == [left], "marked, and whole"
    assert result["latency_ms"]["n"] == 2 * SAMPLES, "not pooled"
    sshd.await_clean(5)
    assert not list((tmp_path / "cache/edgebert/jobs").rglob("*.jsonl")), "a whole measurement leaves nothing behind"
