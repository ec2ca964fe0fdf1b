"""The transport, between the real adb client and a real adbd: what it carries, and what is said when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from android_standin import SERIAL, Standin
from hostile_names import NAMES

from edgebert.check import connected
from edgebert.devices.android import HOME, adb, shell
from edgebert.doctor import examine
from edgebert.errors import DeviceError, UsageError

#: 50 names that want to be commands: the device has no $CANARY, so they get a name of their own.
HOSTILE = [name.replace("$CANARY", "canary") for name in NAMES]
PEER = Path(__file__).parents[2] / "standins/adb_peer.py"


@pytest.fixture
def own(android: Standin, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """A stand-in of its own, not switched on, to be broken."""
    standin = Standin("x86_64", size_mb=4)
    monkeypatch.setenv("ADB_SERVER_SOCKET", standin.environment["ADB_SERVER_SOCKET"])
    yield standin
    standin.stop()


def test_facts_want_no_bundle(phone: Standin) -> None:
    with connected("android") as device:
        facts = device.facts()
    assert facts["model"] == "edgebert edgebert stand-in, no phone" and facts["serial"] == SERIAL
    assert facts["emulated"] and facts["emulated_because"] == "its properties say qemu"
    assert facts["distribution"] == "Android 14" and facts["cores"] == os.cpu_count() and "avx2" in facts["features"]
    assert facts["throttled"] is None and facts["temperature_c"] is None, "a stand-in has no sensors"


def test_doctor(phone: Standin) -> None:
    found = {finding.what: finding for finding in examine("android")}
    assert found["adb"].found[0].isdigit() and found["storage"].found.endswith("MB free")
    assert found["bundle"].state == "ok" and found["emulation"].state == "warning"


def test_files_go_and_come_back(phone: Standin, tmp_path: Path) -> None:
    source = tmp_path / "a 'file'; $(id)"
    source.write_bytes(os.urandom(3_000_000))
    line = adb.Line(SERIAL)
    with shell.opened(line, HOME) as place:
        place.put(source, "here is 'a name'")
        line.pull(f"{place.folder}/here is 'a name'", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == source.read_bytes()
    phone.await_clean(2)


def test_programs_run_in_their_folder(phone: Standin) -> None:
    with shell.opened(adb.Line(SERIAL), HOME) as place:
        said = place.execute(["sh", "-c", 'pwd; echo "$2"; echo told >&2', "sh", "a", 'it\'s "$HOME"\n`id`'], timeout=9)
        assert said == f'{place.folder}\nit\'s "$HOME"\n`id`\ntold\n'
        with pytest.raises(DeviceError, match=r"sh failed with code 3: sorry"):
            place.execute(["sh", "-c", "echo sorry; exit 3"], timeout=9)
        with pytest.raises(DeviceError, match=r"no-such-program failed with code 12[67]"):
            place.execute(["no-such-program"], timeout=9)
    phone.await_clean(2)


def test_a_program_that_takes_too_long(phone: Standin) -> None:
    with shell.opened(adb.Line(SERIAL), HOME) as place:
        start = time.monotonic()
        with pytest.raises(DeviceError, match="took longer than 1 s"):
            place.execute(["sh", "-c", "sleep 61 & sleep 62; echo late"], timeout=1)
        assert time.monotonic() - start < 1 + 5
        assert place.execute(["echo", "and another"], timeout=9) == "and another\n"
    phone.await_clean(2)


def test_a_line_that_is_cut(phone: Standin) -> None:
    """adb returns 0 then: only what the program said itself counts."""
    with shell.opened(adb.Line(SERIAL), HOME) as place:
        threading.Timer(0.5, phone.unplug).start()
        start = time.monotonic()
        with pytest.raises(DeviceError, match=f"android:{SERIAL} is gone") as caught:
            place.execute(["sh", "-c", "sleep 63"], timeout=60)
        assert time.monotonic() - start < 5 and "run the command again" in caught.value.hint
    phone.plug()
    phone.await_clean(2)


def test_a_host_that_is_killed(phone: Standin) -> None:
    script = (
        "from edgebert.devices.android import HOME, adb, shell\n"
        f"with shell.opened(adb.Line({SERIAL!r}), HOME) as place:\n"
        "    place.execute(['sh', '-c', 'sleep 64; sleep 64'], timeout=60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", script])
    end = time.monotonic() + 120
    while not any("sleep 64" in line for line in phone.left()):
        assert time.monotonic() < end and host.poll() is None
    host.kill()
    host.wait()
    phone.await_clean(5)


def test_a_device_without_power(own: Standin) -> None:
    own.start()
    with shell.opened(adb.Line(SERIAL), HOME) as place:
        threading.Timer(0.5, own.power_off).start()
        with pytest.raises(DeviceError, match=f"android:{SERIAL} (is offline|is gone)"):
            place.execute(["sleep", "65"], timeout=60)
    with pytest.raises(DeviceError, match="is offline") as caught, connected("android"):
        pass
    assert "adb reconnect offline" in caught.value.hint


def test_a_device_that_is_full(own: Standin, tmp_path: Path) -> None:
    own.start()
    (tmp_path / "big").write_bytes(bytes(9_000_000))
    with (
        shell.opened(adb.Line(SERIAL), HOME) as place,
        pytest.raises(DeviceError, match=r"its disk is full.*No space left") as caught,
    ):
        place.put(tmp_path / "big", "big")
    assert "free some space there" in caught.value.hint
    own.await_clean(2)


def test_adb_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="adb is not installed") as caught, connected("android"):
        pass
    assert "apt install adb" in caught.value.hint


def test_no_device_is_there(own: Standin) -> None:
    with pytest.raises(DeviceError, match="no Android device is there") as caught, connected("android"):
        pass
    assert "USB debugging" in caught.value.hint


def test_two_devices_and_no_serial(phone: Standin) -> None:
    second = "127.0.0.2:6555"  # adbd listens on every address: to adb this is another device
    phone.adb("connect", second)
    try:
        with pytest.raises(DeviceError, match=f"2 Android devices are there: {SERIAL}, {second}") as caught:
            adb.choose("")
        assert caught.value.hint == f"say which: android:{SERIAL}"
        assert adb.choose(second) == second
    finally:
        phone.adb("disconnect", second)


def test_a_serial_that_is_not_there(phone: Standin) -> None:
    with pytest.raises(DeviceError, match="android:R58N12ABCDE is not there") as caught:
        adb.choose("R58N12ABCDE")
    assert SERIAL in caught.value.hint
    with pytest.raises(DeviceError, match=r"android:192\.0\.2\.7:5555 is not there") as caught:
        adb.choose("192.0.2.7:5555")
    assert caught.value.hint == "connect it: adb connect 192.0.2.7:5555"


@pytest.mark.parametrize(("states", "what"), [({"unauthorized"}, "has not authorized"), ({"offline"}, "is offline")])
def test_a_device_that_cannot_be_used(own: Standin, states: set[str], what: str) -> None:
    """A device that never accepts our key is authorizing, then unauthorized, and offline when it is gone."""
    serial = "127.0.0.1:7001"
    peer = own.inside([sys.executable, str(PEER), "7001", "unauthorized"])
    try:
        own.wait(lambda: serial.encode() in (own.adb("connect", serial), own.adb("devices"))[1].stdout)
        if "offline" in states:
            peer.kill()
        own.wait(lambda: adb.listed().get(serial) in states)
        with pytest.raises(DeviceError, match=f"android:{serial} ({what}|is still being auth)"):
            adb.choose(serial)
    finally:
        peer.kill()
        peer.wait()


@pytest.mark.parametrize("serial", [*HOSTILE, "-s", "--help", "a\nb", "a\x00b", "../../etc", "*", "~root", "a=b", "é"])
def test_hostile_serials_are_refused(serial: str) -> None:
    with pytest.raises(UsageError, match="is no serial number"):
        adb.choose(serial)


def test_hostile_names_stay_names(phone: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As file names on both sides, and as arguments of a program: 50 of them."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    line = adb.Line(SERIAL)
    with shell.opened(line, HOME) as place:
        for number, name in enumerate(HOSTILE):
            source = tmp_path / f"source {name}"
            source.write_bytes(name.encode())
            place.put(source, f"there {name}")
            line.pull(f"{place.folder}/there {name}", tmp_path / f"back {number}")
            assert (tmp_path / f"back {number}").read_bytes() == name.encode()
        said = place.execute(["sh", "-c", 'for a; do printf "%s\\n" "$a"; done', "sh", *HOSTILE], timeout=30)
        assert said == "".join(f"{name}\n" for name in HOSTILE)
        assert phone.shell(f"ls -a {place.folder} | grep -c '^there'") >= "50"
        assert not phone.shell("ls -d /canary /data/local/tmp/canary /data/local/tmp/*/canary */canary 2>/dev/null")
        assert not phone.shell(f"ls {place.folder} | grep -x canary")
    assert not list(here.iterdir()) and not (tmp_path / "canary").exists()
    phone.await_clean(2)
