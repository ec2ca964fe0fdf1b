"""What phones print, read into facts."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebert.devices.android import facts

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name: str) -> str:
    return (FIXTURES / name).read_text("utf-8")


def test_a_phone() -> None:
    found = facts.parse(fixture("phone.txt"))
    assert found["model"] == "Maker Phone 11" and found["soc"] == "QTI SM8550" and found["machine"] == "aarch64"
    assert found["distribution"] == "Android 14" and found["sdk"] == "34"
    assert found["system"] == "Linux 5.15.123-android13-8"
    assert found["cores"] == 8 and found["usable_cores"] == 7
    assert found["features"] == ["asimd", "asimddp", "bf16", "i8mm"]
    assert (found["governor"], found["mhz"], found["mhz_most"]) == ("walt", 2054.4, 3187.2), "of the fastest cluster"
    assert found["clusters"] == ["0,1,2: 2016 MHz", "3,4,5,6: 2803 MHz", "7: 3187 MHz"]
    assert found["memory_bytes"] == 11434204 * 1024 and found["load_average"] == 2.31
    assert not found["emulated"] and "emulated_because" not in found
    assert found["thermal_zones"] == {"CPU0": 47.5, "CPU7": 49.1, "battery": 33.2, "skin": 34.351}
    assert found["temperature_c"] == 49.1 and found["throttled"] == []
    assert found["battery"] == {
        "percent": 85, "status": "Charging", "temperature_c": 33.2, "volts": 4.237, "powered": ["USB"],
        "microamperes": -341000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "zones", "throttled"),
    [
        ("thermal-throttled.txt", {"AP": 25.6, "VIRTUAL-SKIN": 48.3}, ["thermal status severe"]),
        ("thermal-cached-only.txt", {"AP": 40.1}, ["thermal status light"]),
        ("thermal-absent.txt", {}, None),
    ],
)
def test_thermal_services(name: str, zones: dict[str, float], throttled: list[str] | None) -> None:
    """A sensor that reports 0.0 is not there; where the driver tells nothing now, what it told last counts."""
    assert facts.parse_thermal(fixture(name)) == {"zones": zones, "throttled": throttled}


def test_a_battery_whose_current_is_in_units_of_its_maker() -> None:
    found = facts.parse_battery(fixture("battery-vendor.txt"), "cat: permission denied")
    assert found == {
        "percent": 100, "status": "Full", "temperature_c": 30.1, "volts": 4.35, "powered": ["AC"],
    }  # fmt: skip
    assert facts.parse_battery("Can't find service: battery") == {}


def test_a_property_over_several_lines() -> None:
    assert facts.parse_properties(fixture("phone.txt"))["ro.multi.line"] == "first\nsecond"


@pytest.mark.parametrize(
    "change",
    [
        ("[ro.hardware]: [qcom]", "[ro.hardware]: [ranchu]"),
        ("[ro.hardware]: [qcom]", "[ro.boot.qemu]: [1]"),
        ("CPU implementer\t: 0x41", "vendor_id\t: GenuineIntel"),
    ],
)
def test_what_is_no_phone(change: tuple[str, str]) -> None:
    found = facts.parse(fixture("phone.txt").replace(*change))
    assert found["emulated"] and found["emulated_because"]


def test_a_phone_that_tells_nothing() -> None:
    found = facts.parse("== uname\nLinux 4.4 aarch64\n== getprop\n== cpuinfo\n")
    assert found["machine"] == "aarch64" and found["model"] is None and found["cores"] is None
    assert found["governor"] is None and found["temperature_c"] is None and found["throttled"] is None
