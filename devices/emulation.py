"""Whether this machine's processor is emulated in software (qemu): then its times say nothing about any real device.

A virtual machine that runs on the real processor (KVM and its like) is not emulated: other guests may disturb its
times, but they are its own.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

_COMPATIBLE = "proc/device-tree/compatible"
_FAMILIES = {"x86_64": "x86", "i386": "x86", "i486": "x86", "i586": "x86", "i686": "x86", "amd64": "x86"}


def why_emulated(info: Mapping[str, str], root: Path = Path("/"), machine: str | None = None) -> str | None:
    """What gives an emulated processor away, in words; None where nothing does.

    Args:
        info: fields of /proc/cpuinfo.
        root: stands for `/`.
        machine: what uname says; this machine's when None.
    """
    machine = machine or platform.machine()
    name = info.get("model name", "")
    if "QEMU" in name or "TCG" in name:
        return f"the processor calls itself {name}"
    return _by_qemu_user(info, root, machine) or _by_qemu_system(root, machine)


def is_virtual(root: Path = Path("/")) -> bool:
    """Whether the device tree or the firmware tables below `root` are those of a virtual machine."""
    product = read_text(root / "sys/class/dmi/id/product_name") or ""
    return product.endswith("Virtual Machine") or "linux,dummy-virt" in (read_text(root / _COMPATIBLE) or "")


def _by_qemu_user(info: Mapping[str, str], root: Path, machine: str) -> str | None:
    """qemu-user answers uname itself, but hands most of /proc through from the kernel below it."""
    family = _family(machine)
    kernel = read_text(root / "proc/sys/kernel/arch")  # since Linux 6.1
    if kernel and _family(kernel) != family:
        return f"uname says {machine}, the kernel is for {kernel}"
    if family == "arm" and ("vendor_id" in info or "flags" in info):
        return f"uname says {machine}, /proc/cpuinfo is of an x86 processor"
    if family == "x86" and "CPU implementer" in info:
        return f"uname says {machine}, /proc/cpuinfo is of an ARM processor"
    command = read_text(root / "proc/self/comm") or ""
    return f"this program runs in {command}" if command.startswith("qemu-") else None


def _by_qemu_system(root: Path, machine: str) -> str | None:
    """A whole machine of qemu's without the KVM accelerator.

    On ARM the firmware tables tell the two apart ("QEMU Virtual Machine", and "KVM Virtual Machine" with KVM: qemu,
    hw/arm/virt.c); a machine that was started without firmware has no tables, and counts as emulated. On x86 the
    tables read the same, but only KVM gives its guests the kvm-clock.
    """
    dmi = root / "sys/class/dmi/id"
    vendor, product = read_text(dmi / "sys_vendor") or "", read_text(dmi / "product_name") or ""
    if product == "KVM Virtual Machine":
        return None
    if product == "QEMU Virtual Machine":
        return "the firmware says QEMU Virtual Machine"
    if "linux,dummy-virt" in (read_text(root / _COMPATIBLE) or ""):
        return "the device tree says linux,dummy-virt"
    clocks = (read_text(root / "sys/devices/system/clocksource/clocksource0/available_clocksource") or "").split()
    if vendor == "QEMU" and _family(machine) == "x86" and clocks and "kvm-clock" not in clocks:
        return "the firmware is qemu's, and there is no kvm-clock"
    return None


def _family(machine: str) -> str:
    if machine.startswith(("aarch64", "arm")):
        return "arm"
    return _FAMILIES.get(machine, machine)


def read_text(path: Path) -> str | None:
    """A small file of /proc or /sys without the ends that such files have; None where it cannot be read."""
    try:
        return path.read_text("utf-8", errors="replace").strip("\0\n\t ")
    except OSError:
        return None
