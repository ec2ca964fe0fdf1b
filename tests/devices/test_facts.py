"""Facts of machines that are not this one: a folder stands for `/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebert.devices.emulation import why_emulated
from edgebert.devices.facts import linux_facts
from edgebert.devices.raspberry import parse_throttled, raspberry_facts
from edgebert.watch import GET_THROTTLED, throttled

PI = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd08

processor\t: 1
Features\t: other
CPU part\t: 0xd08
"""
X86 = "processor : 0\nmodel name : {}\nflags : fpu avx2 {}\ncpu MHz : 2450.5\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_a_raspberry_pi(tmp_path: Path) -> None:
    found = linux_facts(
        tree(
            tmp_path,
            {
                "proc/cpuinfo": PI,
                "proc/meminfo": "MemTotal:        8000000 kB\nMemFree: 1 kB\n",
                "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
                "proc/device-tree/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0",
                "proc/sys/kernel/arch": "aarch64\n",
                GET_THROTTLED: "50005\n",
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
                "sys/class/thermal/thermal_zone0/temp": "48500\n",
                "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            },
        ),
        "aarch64",
    )
    assert found["soc"] == "brcm,bcm2711" and found["cpu"] == "2 × Cortex-A72"
    assert found["throttled"] == ["under-voltage", "throttled"] == found["throttled_since_boot"]
    assert found["thermal_zones"] == {"cpu-thermal": 48.5}
    assert found["model"] == "Raspberry Pi 4 Model B Rev 1.4" and found["features"] == ["asimd", "asimddp"]
    assert found["governor"] == "ondemand" and found["mhz"] == 1500 and found["temperature_c"] == 48.5
    assert found["memory_bytes"] == 8_000_000 * 1024
    assert not found["emulated"] and not found["virtual_machine"]


@pytest.mark.parametrize(
    ("name", "flags", "emulated", "virtual"),
    [
        ("AMD EPYC 7B13", "hypervisor", False, True),
        ("Intel(R) Core(TM) i7", "", False, False),
        ("QEMU Virtual CPU version 2.5+", "hypervisor", True, True),
    ],
)
def test_what_is_emulated_and_what_is_virtual(
    tmp_path: Path, name: str, flags: str, emulated: bool, virtual: bool
) -> None:
    found = linux_facts(tree(tmp_path, {"proc/cpuinfo": X86.format(name, flags)}), "x86_64")
    assert (found["emulated"], found["virtual_machine"]) == (emulated, virtual)
    assert found["cpu"] == name and found["mhz"] == 2450.5 and found["features"] == ["avx2"]


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    found = linux_facts(tmp_path)
    for key in ("cpu", "model", "soc", "governor", "mhz", "temperature_c", "thermal_zones", "memory_bytes"):
        assert found[key] is None
    assert found["features"] == [] and not found["emulated"]


# What each of these machines says, as far as it matters, as the documentation of kernel and qemu gives it.
CLOCKS = "sys/devices/system/clocksource/clocksource0/available_clocksource"
DMI = "sys/class/dmi/id/"
ARM = {"CPU implementer": "0x41", "CPU part": "0xd08"}


@pytest.mark.parametrize(
    ("files", "machine", "info", "why"),
    [
        ({"proc/device-tree/compatible": "linux,dummy-virt\0"}, "aarch64", ARM, "device tree says linux,dummy-virt"),
        ({f"{DMI}product_name": "QEMU Virtual Machine\n"}, "aarch64", ARM, "QEMU Virtual Machine"),
        ({f"{DMI}product_name": "KVM Virtual Machine\n", "proc/device-tree/compatible": "linux,dummy-virt\0"},
         "aarch64", ARM, None),
        ({f"{DMI}sys_vendor": "QEMU\n", CLOCKS: "tsc hpet acpi_pm\n"}, "x86_64", {}, "no kvm-clock"),
        ({f"{DMI}sys_vendor": "QEMU\n", CLOCKS: "kvm-clock tsc acpi_pm\n"}, "x86_64", {}, None),
        ({f"{DMI}sys_vendor": "LENOVO\n", CLOCKS: "tsc hpet acpi_pm\n"}, "x86_64", {}, None),
        ({"proc/sys/kernel/arch": "x86_64\n"}, "aarch64", ARM, "the kernel is for x86_64"),
        ({"proc/sys/kernel/arch": "aarch64\n"}, "armv7l", ARM, None),
        ({"proc/sys/kernel/arch": "x86_64\n"}, "i686", {"flags": "sse"}, None),
        ({}, "aarch64", {"vendor_id": "GenuineIntel", "flags": "sse"}, "of an x86 processor"),
        ({}, "x86_64", ARM, "of an ARM processor"),
        ({"proc/self/comm": "qemu-x86_64\n"}, "x86_64", {}, "runs in qemu-x86_64"),
        ({"proc/self/comm": "python3\n"}, "x86_64", {}, None),
    ],
)  # fmt: skip
def test_what_gives_an_emulator_away(
    tmp_path: Path, files: dict[str, str], machine: str, info: dict[str, str], why: str | None
) -> None:
    found = why_emulated(info, tree(tmp_path, files), machine)
    assert (found is None) if why is None else (found is not None and why in found)


def test_an_emulated_pi_says_so_and_why(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": PI, "proc/device-tree/compatible": "linux,dummy-virt\0"}
    found = linux_facts(tree(tmp_path, files), "aarch64")
    assert found["emulated"] and found["virtual_machine"]
    assert found["emulated_because"] == "the device tree says linux,dummy-virt"


# Recorded outputs of `vcgencmd get_throttled`, and what is no such output.
@pytest.mark.parametrize(
    ("text", "now", "since"),
    [
        ("throttled=0x0\n", [], []),
        ("throttled=0x50005\n", ["under-voltage", "throttled"], ["under-voltage", "throttled"]),
        ("throttled=0x50000\n", [], ["under-voltage", "throttled"]),
        ("throttled=0x80008\n", ["soft temperature limit"], ["soft temperature limit"]),
        ("throttled=0xe0002\n", ["frequency capped"], ["frequency capped", "throttled", "soft temperature limit"]),
    ],
)
def test_vcgencmd(text: str, now: list[str], since: list[str]) -> None:
    bits = parse_throttled(text)
    assert bits is not None and throttled(bits) == now and throttled(bits >> 16) == since


@pytest.mark.parametrize("text", ["", "VCHI initialization failed", "throttled=", "throttled=0xzz", "temp=42.2'C"])
def test_what_vcgencmd_says_when_it_cannot_say(text: str) -> None:
    assert parse_throttled(text) is None


def test_vcgencmd_is_asked_where_the_kernel_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text('#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x20002\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert raspberry_facts()["throttled"] == ["frequency capped"]
    program.write_text("#!/bin/sh\necho 'VCHI initialization failed'; exit 255\n")
    assert raspberry_facts() == {} == raspberry_facts(tmp_path)


def test_a_laptop_on_its_battery(tmp_path: Path) -> None:
    supply = "sys/class/power_supply/"
    files = {
        f"{supply}AC/type": "Mains\n", f"{supply}BAT0/type": "Battery\n", f"{supply}BAT0/capacity": "81\n",
        f"{supply}BAT0/status": "Discharging\n", f"{supply}BAT0/power_now": "7200000\n",
    }  # fmt: skip
    found = linux_facts(tree(tmp_path, files))
    assert found["battery"] == {"percent": 81, "status": "Discharging", "microwatts": 7_200_000}
