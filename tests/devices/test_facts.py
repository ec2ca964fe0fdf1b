"""Facts of machines that are not this one: a folder stands for `/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgebert.devices.facts import is_emulated, linux_facts

PI = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid asimddp
CPU implementer\t: 0x41

processor\t: 1
Features\t: other
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
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
                "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
                "sys/class/thermal/thermal_zone0/temp": "48500\n",
                "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            },
        )
    )
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
    found = linux_facts(tree(tmp_path, {"proc/cpuinfo": X86.format(name, flags)}))
    assert (found["emulated"], found["virtual_machine"]) == (emulated, virtual)
    assert found["cpu"] == name and found["mhz"] == 2450.5 and found["features"] == ["avx2"]
    assert is_emulated({"model name": name}) == emulated


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    found = linux_facts(tmp_path)
    for key in ("cpu", "model", "governor", "mhz", "temperature_c", "memory_bytes"):
        assert found[key] is None
    assert found["features"] == [] and not found["emulated"]
