"""What `doctor` says of a phone beyond its facts."""

from __future__ import annotations

from edgebert.doctor import Finding

from .adb import Line, call

#: Megabytes that a bundle with one engine takes, unpacked.
NEEDED_MB = 200


def examine(line: Line, home: str) -> list[Finding]:
    """adb, room for a bundle, and the bundles that are there. Raises DeviceError."""
    version = call(["version"]).stdout.decode("utf-8", "replace").splitlines()
    free = int(line.output('df -k "$1" | tail -n 1', home.rpartition("/")[0]).split()[3]) // 1024
    there = line.output(
        'cd "$1" 2>/dev/null && for name in bundle-*; do [ -d "$name" ] && echo "$name"; done; true', home
    )
    bundles = sorted({name.split("-")[1] for name in there.split()})
    room = "free some, or remove old bundles: adb shell rm -r " + home
    return [
        Finding("adb", "ok", version[1].removeprefix("Version ") if len(version) > 1 else "unknown"),
        Finding("storage", "ok", f"{free} MB free")
        if free >= NEEDED_MB or "python" in bundles
        else Finding("storage", "warning", f"{free} MB free where a bundle takes about {NEEDED_MB}", room),
        Finding("bundle", "ok", ", ".join(bundles) or "none yet: the first measurement builds and copies it"),
    ]
