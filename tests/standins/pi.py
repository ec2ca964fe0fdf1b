"""A stand-in for a Raspberry Pi: arm64 Debian 12 or 13 in a machine that qemu emulates, reached by the real ssh client.

The disk is made without root's help from inside: packages are unpacked, never run, and wheels are unpacked beside
them; three engines' environments are there as edgebert would have made them, tflite-runtime's is not. The machine
sees no network but the one port that leads in. What it computes is what an ARM core computes; its times mean nothing.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import debian_root
import mirror
from loopback_sshd import free_port, keygen
from mirror import CACHE, KEYRING, PATH

from edgebert.devices import environments

PROGRAMS = ("qemu-system-aarch64", "mmdebstrap", "mke2fs", "cpio", "depmod", "ssh")
PACKAGES = (
    "base-files,base-passwd,bash,dash,coreutils,grep,sed,mount,util-linux,tar,gzip,findutils,hostname,procps,"
    "python3,openssh-server,libstdc++6,libgomp1,busybox-static,linux-image-cloud-arm64"
)
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


@dataclass(frozen=True)
class Release:
    """One of Debian's: its name, its Python, its glibc."""

    name: str
    python: str
    glibc: str

    @property
    def hello(self) -> dict[str, Any]:
        """What the machine will say of itself, as far as it decides about environments."""
        return {
            "python": self.python, "machine": "aarch64", "executable": "/usr/bin/python3",
            "libc": ["glibc", self.glibc], "bits": 64,
        }  # fmt: skip

    @property
    def library(self) -> str:
        """The folder of its Python's standard library, below `lib`."""
        return f"python{self.python.rpartition('.')[0]}"


BOOKWORM, TRIXIE = Release("bookworm", "3.11.2", "2.36"), Release("trixie", "3.13.5", "2.41")


def missing(release: Release = BOOKWORM) -> str:
    """Why the stand-in cannot run here; empty when it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0 or not KEYRING.is_file():
        return "making the disk wants root and Debian"
    return "" if _made(release).is_dir() else mirror.unreachable(release.name) or debian_root.missing(release.name)


def _made(release: Release) -> Path:
    decides = Path(__file__).read_bytes() + repr([environments.requirements(engine) for engine in BAKED]).encode()
    return CACHE / f"pi-{release.name}-{hashlib.sha256(decides).hexdigest()[:16]}"


def image(release: Release = BOOKWORM) -> Path:
    """The folder with disk, kernel, first file system and keys; made when it is not there."""
    folder = _made(release)
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _make(release, Path(scratch) / "root", made)
            made.rename(folder)
    return folder


def _make(release: Release, root: Path, made: Path) -> None:
    # From Debian 13 on the packages themselves have /bin and /lib below /usr.
    merged = ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr"] if release is BOOKWORM else []
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=extract", "--arch=arm64", f"--include={PACKAGES}", f"--keyring={KEYRING}",
         *merged, release.name, str(root), mirror.mirror()],
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
        name = environments.environment_name(engine, release.hello)
        _environment(home / ".cache/edgebert" / name, engine, root, release)
    for path in (home, *home.rglob("*")):
        os.chown(path, 1000, 1000, follow_symlinks=False)
    for folder in (home / ".ssh", home):
        folder.chmod(0o700)
    _compiled(root / "usr/lib" / release.library, root, release)  # as Debian does when it installs
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


def _environment(folder: Path, engine: str, root: Path, release: Release) -> None:
    """A virtual environment as `python3 -m venv --without-pip` makes it there, and the engine's packages in it."""
    site = folder / "lib" / release.library / "site-packages"
    site.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").symlink_to("/usr/bin/python3")
    told = f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {release.python}\n"
    (folder / "pyvenv.cfg").write_text(told)
    problem = environments.download(engine, release.hello, site)
    assert not problem, problem
    _compiled(site, root, release)
    (folder / "ready").touch()


def _compiled(folder: Path, root: Path, release: Release) -> None:
    """Compile Python there is here: the emulated machine takes seconds for each module, at every start.

    That release's own Python does it, on this computer's processor: what it makes is the same on all.
    """
    script = """
    mount --bind "$2" "$1/mnt"
    exec chroot "$1" /usr/bin/python3 -m compileall -qq -s /mnt -p / --invalidation-mode unchecked-hash "/mnt/$3"
    """
    command = ["unshare", "--mount", "sh", "-c", script, "sh", debian_root.root(release.name), root]
    subprocess.run([*command, folder.relative_to(root)], env=os.environ | {"PATH": PATH})
    assert any(folder.rglob("*.pyc")), "its exit code tells nothing: some modules are wrong on purpose"


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
        for module in (module for module in needs if module.removesuffix(".xz").endswith(f"/{name}.ko")):
            wanted += [other for other in (*reversed(needs[module]), module) if other not in wanted]
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        for folder in ("bin", "proc", "sys", "dev", "mnt", "lib"):
            (tree / folder).mkdir()
        shutil.copy(root / "bin/busybox", tree / "bin/busybox")
        for module in wanted:
            content = (base / module).read_bytes()
            plain = lzma.decompress(content) if module.endswith(".xz") else content
            (tree / "lib" / Path(module).name.removesuffix(".xz")).write_bytes(plain)
        names = " ".join(Path(module).name.removesuffix(".xz") for module in wanted)
        (tree / "init").write_text(FIRST.format(modules=names))
        (tree / "init").chmod(0o755)
        every = "\n".join(path.relative_to(tree).as_posix() for path in sorted(tree.rglob("*")))
        with (made / "initrd").open("wb") as handle:
            subprocess.run(
                ["cpio", "-o", "-H", "newc", "--quiet"], input=every.encode(), cwd=tree, stdout=handle, check=True
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
