"""What makes a measurement invalid: throttling, drift, other work; from recorded facts and readings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from traces import QUIET, Trace, trace

from edgebert.artifact import Artifact
from edgebert.history import millijoules, moments, summary
from edgebert.validity import tokens_of, why_invalid
from edgebert.watch import GET_THROTTLED, Watch, total

CALM: dict[str, Any] = {"cores": 4, "throttled": [], "throttled_since_boot": []}


def steady() -> Trace:
    return trace(np.random.default_rng(0), QUIET)


def reasons(before: dict[str, Any] | None = None, after: dict[str, Any] | None = None, **reading: Any) -> list[str]:
    made = steady()
    watched = [[{"seconds": 1.0, "n": 200, **reading}] for _ in made.ms]
    return why_invalid(made.ms, made.tokens, watched, CALM | (before or {}), CALM | (after or {}))


def test_a_calm_machine_is_valid() -> None:
    assert reasons() == [] == reasons(waited=0.01, stolen=0.0, others=0.2, throttled=[])


@pytest.mark.parametrize(
    ("before", "after", "reading", "words"),
    [
        ({"throttled": ["under-voltage"]}, {}, {}, "throttled: under-voltage"),
        ({}, {"throttled": ["severe"]}, {}, "throttled: severe"),
        ({}, {}, {"throttled": ["frequency capped"]}, "throttled: frequency capped"),
        ({}, {"throttled_since_boot": ["throttled"]}, {}, "throttled: throttled"),
        ({}, {}, {"waited": 0.3}, "waited for a CPU in 30% of the time"),
        ({}, {}, {"stolen": 0.2}, "took 20% of the CPUs"),
        ({}, {}, {"others": 1.5}, "1.5 of 4 CPUs busy"),
        ({"load_average": 7.5}, {}, {}, "load was 7.5 on 4 CPUs"),
    ],
)
def test_what_disturbs_is_told(
    before: dict[str, Any], after: dict[str, Any], reading: dict[str, Any], words: str
) -> None:
    (told,) = reasons(before, after, **reading)
    assert words in told


def test_what_was_before_is_no_reason() -> None:
    """A Pi that was throttled last week and a load that our own readings explain say nothing of this measurement."""
    earlier = {"throttled_since_boot": ["throttled"]}
    assert reasons(earlier, earlier) == []
    assert reasons({"load_average": 7.5}, waited=0.0, others=0.1) == []


def test_drift_is_told_and_an_emulator_is_not_judged() -> None:
    made = trace(np.random.default_rng(0), QUIET, slower=0.1, where=(0.5, 1))
    (told,) = why_invalid(made.ms, made.tokens, [], CALM, CALM)
    assert told.startswith("the machine changed its speed while measuring: ") and "slower" in told
    assert why_invalid(made.ms, made.tokens, [], CALM | {"emulated": True}, CALM) == []


def test_tokens_are_those_of_the_texts(tiny_artifact: Artifact, records: list[dict[str, str]]) -> None:
    short, long = 3, max(range(len(records)), key=lambda index: len(records[index]["text"]))
    ((a, b), (c,)) = tokens_of(tiny_artifact, records, [[short, long], [short]])
    assert 2 < a == c < b


def test_watch_sees_other_work() -> None:
    """As many busy programs as there are CPUs: the watched process has to wait for one."""
    cores = len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * cores)]
    try:
        time.sleep(0.5)
        watch = Watch()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            pass
        found = watch.read()
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert found["seconds"] >= 2 and found["waited"] > 0.05 and found["others"] > 0.5


def test_watch_reads_what_there_is(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))  # not 0 where the tests are kept to other cores
    files = {
        GET_THROTTLED: "2\n", "sys/class/thermal/thermal_zone0/temp": "61200\n",
        f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": "1500000\n",
        "sys/class/powercap/intel-rapl:0/energy_uj": "1000000\n",
        "sys/class/powercap/intel-rapl:0:0/energy_uj": "900000\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    watch = Watch(tmp_path)
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("3500000\n")
    found = watch.read()
    assert found["temperature_c"] == 61.2 and found["mhz"] == 1500 and found["throttled"] == ["frequency capped"]
    assert found["joules"] == 2.5 and "waited" not in found and "others" not in found
    assert set(Watch(tmp_path / "nothing").read()) == {"at", "seconds"}


def test_reading_the_machine_is_cheap() -> None:
    """Between chunks of 50 samples: it must not be what is measured. A loose bound, for machines under test."""
    watch = Watch()
    took = []
    for _ in range(50):
        start = time.perf_counter()
        watch.read()
        took.append(time.perf_counter() - start)
    assert np.median(took) < 0.01


def test_totals_weigh_by_time() -> None:
    readings = [{"seconds": 3.0, "waited": 0.1}, {"seconds": 1.0, "waited": 0.5}, {"seconds": 9.0}]
    assert total(readings, "waited") == pytest.approx(0.2) and total(readings, "others") is None
    ticks = [{"seconds": 0.01, "others": 0.9}, {"seconds": 0.01, "others": -0.5}, {"seconds": 0.02, "others": -0.1}]
    assert total(ticks, "others") == pytest.approx(0.05), "what the kernel counts in ticks evens out"
    assert total(ticks[1:], "others") == 0.0


def test_history() -> None:
    made = steady()
    watched = [
        [
            {"at": 100.0 + 10 * launch + part, "seconds": 1.0, "n": 50, "joules": 5.0, "mhz": 1500.0 - part,
             "temperature_c": 50.0 + part}
            for part in range(4)
        ]
        for launch in range(5)
    ]  # fmt: skip
    found = moments(made.ms, made.tokens, watched)
    assert len(found) == 20 and found[0].seconds == 1.0 and found[-1].seconds == 44.0
    assert found[7].launch == 1 and found[7].mhz == 1497.0 and found[7].watts == 5.0
    typical = np.median(np.concatenate(made.ms))
    assert all(abs(moment.ms / typical - 1) < 0.08 for moment in found)
    assert millijoules(watched) == pytest.approx(100.0)
    assert summary(watched) == {"mhz_least": 1497.0, "mhz_most": 1500.0, "temperature_c_most": 53.0}
    assert moments(made.ms, made.tokens, []) == () and millijoules([]) is None
