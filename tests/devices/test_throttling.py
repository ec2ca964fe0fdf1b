"""A device that slowed itself down in mid-run is found out by what it recorded, whenever that was; 100 traces of it.

Recorded outputs of `vcgencmd` and of `dumpsys` go through the same code as on the device; latencies are steady, so
that nothing but what the device tells can give it away.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from traces import QUIET, trace

from edgebert.devices.android import facts
from edgebert.devices.raspberry import parse_throttled
from edgebert.validity import why_invalid
from edgebert.watch import GET_THROTTLED, Watch, throttled

FIXTURES = Path(__file__).parent / "android/fixtures"
LAUNCHES, CHUNKS = 5, 4  # of 50 samples
LOOKS = LAUNCHES * CHUNKS

#: What a Pi's firmware says while it slows the processor down.
SLOWED = ("throttled=0x50005\n", "throttled=0x80008\n", "throttled=0xe0002\n", "throttled=0x20002\n", "throttled=0x4\n")
#: What it says before that, and what of it is left when it is over: the bits since boot.
CALM = "throttled=0x0\n"


def of_vcgencmd(text: str) -> dict[str, Any]:
    bits = parse_throttled(text)
    assert bits is not None
    return {"cores": 4, "throttled": throttled(bits), "throttled_since_boot": throttled(bits >> 16)}


def of_dumpsys(name: str) -> dict[str, Any]:
    return {"cores": 8, "throttled": facts.parse_thermal((FIXTURES / name).read_text("utf-8"))["throttled"]}


def invalid(before: Mapping[str, Any], looks: Sequence[Mapping[str, Any]], after: Mapping[str, Any], seed: int) -> str:
    """Why a steady measurement is invalid, when the device said this before, between chunks of samples, and after."""
    made = trace(np.random.default_rng(seed), QUIET)
    watched = [[{"seconds": 0.5, "n": 50, **look} for look in looks[i : i + CHUNKS]] for i in range(0, LOOKS, CHUNKS)]
    return "; ".join(why_invalid(made.ms, made.tokens, watched, before, after))


def test_a_pi_that_throttled_at_any_moment_is_flagged() -> None:
    """Five outputs at each of 20 moments are 100 traces; it is over again before the last look."""
    calm, flagged = of_vcgencmd(CALM), 0
    for number, (text, place) in enumerate(itertools.product(SLOWED, range(LOOKS))):
        looks = [{"throttled": of_vcgencmd(text)["throttled"] if at == place else []} for at in range(LOOKS)]
        flagged += "the machine was throttled: " in invalid(calm, looks, calm, number)
    assert number == 99 and flagged >= 99


@pytest.mark.parametrize("text", ["throttled=0x50000\n", "throttled=0x80000\n", "throttled=0xe0000\n"])
def test_between_two_looks_it_is_what_is_left_that_tells(text: str) -> None:
    """Where the kernel is silent, `vcgencmd` is asked before and after alone: bits since boot say what was between."""
    told = invalid(of_vcgencmd(CALM), [{}] * LOOKS, of_vcgencmd(text), 0)
    assert told == f"the machine was throttled: {', '.join(of_vcgencmd(text)['throttled_since_boot'])}"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("name", ["thermal-throttled.txt", "thermal-cached-only.txt"])
def test_a_phone_that_throttled_is_flagged(name: str, moment: str) -> None:
    cool, hot = of_dumpsys("thermal-absent.txt"), of_dumpsys(name)
    before, after = (hot, cool) if moment == "before" else (cool, hot)
    assert "the machine was throttled: thermal status" in invalid(before, [{}] * LOOKS, after, 0)


def test_devices_that_did_not_throttle_give_no_alarm() -> None:
    """100 traces: a calm Pi, one that was throttled last week, and phones that are cool or tell nothing."""
    last_week = of_vcgencmd("throttled=0xd0000\n")
    phone = {"cores": 8, "throttled": facts.parse((FIXTURES / "phone.txt").read_text("utf-8"))["throttled"]}
    devices = [of_vcgencmd(CALM), last_week, phone, of_dumpsys("thermal-absent.txt")]
    told = [invalid(device, [{"throttled": []}] * LOOKS, device, seed) for seed in range(25) for device in devices]
    assert len(told) == 100 and sum(map(bool, told)) <= 1, told


def test_the_kernel_of_a_pi_is_read_between_samples(tmp_path: Path) -> None:
    """The file that Raspberry Pi OS has, as it changes while a model is measured."""
    file = tmp_path / GET_THROTTLED
    file.parent.mkdir(parents=True)
    file.write_text("0\n")
    watch = Watch(tmp_path)
    assert watch.read()["throttled"] == []
    file.write_text("50005\n")
    assert watch.read()["throttled"] == ["under-voltage", "throttled"]
    file.write_text("50000\n")
    assert watch.read()["throttled"] == []
