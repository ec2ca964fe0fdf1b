"""The worker on the local device: what comes back is what the model says, and a worker that dies is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgebert import load
from edgebert.artifact import Artifact
from edgebert.check import Candidate, Plan, connected, measure_all
from edgebert.errors import DeviceError
from edgebert.measurement import Measurement
from edgebert.progress import SILENT
from edgebert.results import results_of

PLAN = Plan(launches=3, samples=40, lengths=(16, 32))


@pytest.fixture(scope="module")
def measured(tiny_artifact: Artifact, records: list[dict[str, str]]) -> Measurement:
    with connected("local") as device:
        candidate = Candidate("tiny", "artifact", tiny_artifact)
        return measure_all([candidate], device, records, PLAN, SILENT)[0]


def test_answers_are_those_of_predict(
    measured: Measurement, tiny_artifact: Artifact, records: list[dict[str, str]]
) -> None:
    with load(tiny_artifact.path) as model:
        answers = [p.label for p in model.predict([record["text"] for record in records])]
    labels = tiny_artifact.manifest.labels
    assert measured.answers is not None and [labels[i] for i in measured.answers] == answers
    right = [answer == record["label"] for answer, record in zip(answers, records, strict=True)]
    assert measured.correct == [float(r) for r in right]


def test_samples_are_whole_and_plausible(measured: Measurement) -> None:
    assert [len(launch) for launch in measured.latency_ms] == [40, 40, 40]
    assert {length: len(runs) for length, runs in measured.engine_ms.items()} == {"16": 3, "32": 3}
    assert len(measured.cold_start_ms) == len(measured.peak_rss_bytes) == 3
    assert measured.golden["ok"] is True
    # Text in, answer out takes at least as long as the engine alone would for the shortest input, nearly.
    assert np.median(measured.latency_ms) > 0.2 * np.median(measured.engine_ms["16"])
    assert 0.05 < min(measured.cold_start_ms) / 1000 < 60
    assert 20e6 < min(measured.peak_rss_bytes) < 1e9


def test_a_measurement_survives_json(measured: Measurement) -> None:
    again = Measurement.from_json(json.loads(json.dumps(measured.to_json())))
    assert again.to_json() == json.loads(json.dumps(measured.to_json()))


def test_result_of_a_measurement(measured: Measurement) -> None:
    result = results_of([measured])[0]
    assert result.latency_ms.n == 120 and result.latency_ms.p50 and result.latency_ms.p90
    assert result.latency_ms.p99 is None, "120 samples cannot carry a p99"
    assert result.metric is not None and result.metric.low <= result.metric.value <= result.metric.high
    assert result.facts["engine"].startswith("onnxruntime ") and result.facts["cpu"]


def test_candidates_take_turns(tiny_artifact: Artifact, records: list[dict[str, str]], tmp_path: Path) -> None:
    order: list[str] = []

    class Watch:
        def say(self, text: str) -> None:
            pass

        def step(self, name: str, done: float, total: float, note: str = "") -> None:
            if done < total:
                order.append(note)

    plan = Plan(launches=2, samples=4, lengths=(), predict=False)
    with connected("local") as device:
        both = [Candidate(name, "artifact", tiny_artifact) for name in ("a", "b")]
        measure_all(both, device, records, plan, Watch())
    assert order == ["a", "b", "b", "a"]


def job(tiny_artifact: Artifact, folder: Path, **fields: object) -> Path:
    (folder / "records.jsonl").write_text('{"text": "light"}\n')
    body = {"artifact": str(tiny_artifact.path), "records": str(folder / "records.jsonl"), "lengths": []}
    (folder / "job.json").write_text(json.dumps(body | fields))
    return folder / "job.json"


def test_a_job_that_takes_too_long_is_ended(tiny_artifact: Artifact, tmp_path: Path) -> None:
    path = job(tiny_artifact, tmp_path, samples=100_000_000)
    with connected("local") as device, pytest.raises(DeviceError, match="took longer than 3 s"):
        device.run(str(path), tmp_path / "output.jsonl", timeout=3)


def test_a_worker_that_is_killed_is_told(tiny_artifact: Artifact, tmp_path: Path) -> None:
    path = job(tiny_artifact, tmp_path, samples=100_000_000)
    script = (
        "import os, signal, sys, threading, time, subprocess\nfrom pathlib import Path\n"
        "from edgebert.check import connected\n"
        "def kill():\n    time.sleep(3)\n"
        "    os.system(f'pkill -9 -P {os.getpid()}')\n"
        "threading.Thread(target=kill, daemon=True).start()\n"
        "with connected('local') as device:\n    device.run(sys.argv[1], Path(sys.argv[2]), timeout=60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path), str(tmp_path / "out")], capture_output=True, text=True
    )
    assert "DeviceError: local: the worker was ended by SIGKILL" in done.stderr


def test_the_worker_ends_with_its_host(tiny_artifact: Artifact, tmp_path: Path) -> None:
    path = job(tiny_artifact, tmp_path, samples=100_000_000)
    script = (
        "import sys\nfrom pathlib import Path\nfrom edgebert.check import connected\n"
        "with connected('local') as device:\n    device.run(sys.argv[1], Path(sys.argv[2]), timeout=60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", script, str(path), str(tmp_path / "out")])
    deadline = time.monotonic() + 30
    while not (tmp_path / "out").exists() or not (tmp_path / "out").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    host.send_signal(signal.SIGKILL)
    host.wait()
    marker = str(path).encode()
    while any(marker in command for command in commands()):
        assert time.monotonic() < deadline, "the worker outlived its host"
        time.sleep(0.05)


def commands() -> list[bytes]:
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 (entries vanish under a Path's stat)
        try:
            found.append(Path("/proc", entry, "cmdline").read_bytes())
        except OSError:
            continue
    return found
