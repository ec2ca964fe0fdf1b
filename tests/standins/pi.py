"""A stand-in for a Raspberry Pi: arm64 Debian 12 in a machine that qemu emulates, reached by the real ssh client.

The disk is made without root's help from inside: packages are unpacked, never run, and wheels are unpacked beside
them; three engines' environments are there as edgebert would have made them, tflite-runtime's is not. The machine
sees no network but the one port that leads in. What it computes is what an ARM core computes; its times mean nothing.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mirror
from loopback_sshd import free_port, keygen

from edgebert.devices import environments

CACHE = Path(os.environ.get("EDGEBERT_STANDINS") or "~/.cache/edgebert-standins").expanduser()
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PROGRAMS = ("qemu-system-aarch64", "mmdebstrap", "mke2fs", "cpio", "depmod", "ssh")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PACKAGES = (
    "base-files,base-passwd,bash,dash,coreutils,grep,sed,mount,util-linux,tar,gzip,findutils,hostname,procps,"
    "python3,openssh-server,libstdc++6,libgomp1,busybox-static,linux-image-cloud-arm64"
)
#: What the machine will say of itself, as far as it decides about environments.
HELLO: dict[str, Any] = {
    "python": "3.11.2", "machine": "aarch64", "executable": "/usr/bin/python3", "libc": ["glibc", "2.36"], "bits": 64,
}  # fmt: skip
BAKED = ("onnx", "openvino", "tflite")
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20")
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4")

FIRST = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc p /proc; $B mount -t sysfs s /sys; $B mount -t devtmpfs d /dev
for m in {modules}; do $B insmod /lib/$m; done
i=0; while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do $B sleep 0.1; i=$((i+1)); done
$B mount -o rw /dev/vda /mnt && $B mount --move /dev /mnt/dev
$B umount /proc /sys
exec $B switch_root /mnt /sbin/standin-init
"""
SECOND = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc p /proc; mount -t sysfs s /sys
mkdir -p /dev/pts /dev/shm; mount -t devpts d /dev/pts; mount -t tmpfs t /dev/shm; mount -t tmpfs t /run
mkdir -p /run/sshd; hostname pi
busybox ifconfig lo 127.0.0.1 up; busybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
/usr/sbin/sshd -f /etc/ssh/standin
while :; do sleep 1000; done
"""
SSHD = """HostKey /etc/ssh/standin_key
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


def missing() -> str:
    """Why the stand-in cannot run here; empty when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0 or not KEYRING.is_file() or sys.version_info[:2] != (3, 11):
        return "making the disk wants root, Debian and Python 3.11"
    return "" if _made().is_dir() else mirror.unreachable("bookworm")


def _made() -> Path:
    decides = Path(__file__).read_bytes() + repr([environments.requirements(engine) for engine in BAKED]).encode()
    return CACHE / f"pi-{hashlib.sha256(decides).hexdigest()[:16]}"


def image() -> Path:
    """The folder with disk, kernel, first file system and keys; made when it is not there."""
    folder = _made()
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _make(Path(scratch) / "root", made)
            made.rename(folder)
    return folder


def _make(root: Path, made: Path) -> None:
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=extract", "--arch=arm64", f"--include={PACKAGES}", f"--keyring={KEYRING}",
         "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "bookworm", str(root), mirror.mirror()],
        check=True, env=os.environ | {"PATH": PATH},
    )  # fmt: skip
    _users(root)
    keygen(made / "id")
    home = root / "home/pi"
    (home / ".ssh").mkdir(parents=True)
    shutil.copy(made / "id.pub", home / ".ssh/authorized_keys")
    keygen(root / "etc/ssh/standin_key")
    shutil.copy(root / "etc/ssh/standin_key.pub", made / "host_key.pub")
    (root / "etc/ssh/standin").write_text(SSHD)
    (root / "sbin/standin-init").write_text(SECOND)
    (root / "sbin/standin-init").chmod(0o755)
    for engine in BAKED:
        _environment(home / ".cache/edgebert" / environments.environment_name(engine, HELLO), engine, root)
    for path in (home, *home.rglob("*")):
        os.chown(path, 1000, 1000, follow_symlinks=False)
    for folder in (home / ".ssh", home):
        folder.chmod(0o700)
    _compiled(root / "usr/lib/python3.11", root)  # as Debian does when it installs
    _first_file_system(root, made)
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), made / "vmlinuz")
    for waste in ("var/cache/apt", "usr/share/doc", "usr/share/man", "usr/share/locale", "boot", "usr/lib/modules"):
        shutil.rmtree(root / waste, ignore_errors=True)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(made / "disk.img"), "2500M"],
        check=True, env=os.environ | {"PATH": PATH},
    )  # fmt: skip


def _users(root: Path) -> None:
    """Those of a fresh Debian, one for sshd, and `pi`."""
    etc = root / "etc"
    users = (root / "usr/share/base-passwd/passwd.master").read_text().replace("root:*:", "root:x:")
    users += "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\npi:x:1000:1000::/home/pi:/bin/bash\n"
    (etc / "passwd").write_text(users)
    (etc / "group").write_text((root / "usr/share/base-passwd/group.master").read_text() + "pi:x:1000:\n")
    (etc / "shadow").write_text("root:*:19000:0:99999:7:::\npi:*:19000:0:99999:7:::\n")
    if not (root / "bin/sh").exists():
        (root / "bin/sh").symlink_to("dash")


def _environment(folder: Path, engine: str, root: Path) -> None:
    """A virtual environment as `python3 -m venv --without-pip` makes it there, and the engine's packages in it."""
    site = folder / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to("/usr/bin/python3")
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
    problem = environments.download(engine, HELLO, site)
    assert not problem, problem
    _compiled(site, root)
    (folder / "ready").touch()


def _compiled(folder: Path, root: Path) -> None:
    """Compile Python there is here: the emulated machine takes seconds for each module, at every start."""
    compileall.compile_dir(
        folder, quiet=2, stripdir=str(root), prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip


def _first_file_system(root: Path, made: Path) -> None:
    """What the kernel starts from: busybox and the modules that find the disk."""
    base = next((root / "usr/lib/modules").iterdir())
    subprocess.run(["depmod", "-b", str(root), base.name], check=True, env=os.environ | {"PATH": PATH})
    needs = {}
    for line in (base / "modules.dep").read_text().splitlines():
        module, _, others = line.partition(":")
        needs[module] = others.split()
    wanted: list[str] = []
    for name in MODULES:
        for module in (module for module in needs if module.endswith(f"/{name}.ko")):
            wanted += [other for other in (*reversed(needs[module]), module) if other not in wanted]
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        for folder in ("bin", "proc", "sys", "dev", "mnt", "lib"):
            (tree / folder).mkdir()
        shutil.copy(root / "bin/busybox", tree / "bin/busybox")
        for module in wanted:
            shutil.copy(base / module, tree / "lib" / Path(module).name)
        (tree / "init").write_text(FIRST.format(modules=" ".join(Path(module).name for module in wanted)))
        (tree / "init").chmod(0o755)
        names = "\n".join(path.relative_to(tree).as_posix() for path in sorted(tree.rglob("*")))
        with (made / "initrd").open("wb") as handle:
            subprocess.run(
                ["cpio", "-o", "-H", "newc", "--quiet"], input=names.encode(), cwd=tree, stdout=handle, check=True
            )


@contextmanager
def running(folder: Path, cpu: str, scratch: Path, host: str = "pi") -> Iterator[Path]:
    """A machine with that core, and the ssh config in which it is `host`; what it writes is lost when it ends."""
    port = free_port()
    known, config = scratch / f"known-{host}", scratch / f"config-{host}"
    key = (folder / "host_key.pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{port} {key[0]} {key[1]}\n")
    config.write_text(
        f"Host {host}\n  HostName 127.0.0.1\n  Port {port}\n  User pi\n  IdentityFile {folder}/id\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n  GlobalKnownHostsFile none\n"
    )
    machine = subprocess.Popen(
        ["qemu-system-aarch64", "-M", "virt", "-cpu", cpu, "-smp", "2", "-m", "1536", "-nographic", "-nodefaults",
         "-serial", f"file:{scratch}/console-{host}", "-kernel", str(folder / "vmlinuz"),
         "-initrd", str(folder / "initrd"), "-append", "console=ttyAMA0 quiet rdinit=/init",
         "-drive", f"if=none,id=d,format=raw,file={folder}/disk.img,snapshot=on", "-device", "virtio-blk-pci,drive=d",
         "-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
         "-device", "virtio-net-pci,netdev=n,romfile=", "-object", "rng-random,filename=/dev/urandom,id=r",
         "-device", "virtio-rng-pci,rng=r"],
        stdin=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _await([*SSH, "-F", str(config), host, "true"], machine, scratch / f"console-{host}")
        yield config
    finally:
        machine.kill()
        machine.wait()


def _await(command: list[str], machine: subprocess.Popen[bytes], console: Path) -> None:
    deadline = time.monotonic() + 600
    while subprocess.run(command, capture_output=True).returncode:
        said = console.read_text(errors="replace")[-2000:] if console.exists() else ""
        assert machine.poll() is None and time.monotonic() < deadline, said
        time.sleep(0.5)
