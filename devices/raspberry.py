"""What only a Raspberry Pi tells: whether its firmware slows it down, and why.

`vcgencmd get_throttled` prints `throttled=0x50005`: bits 0 to 3 say what holds now, bits 16 to 19 what has happened
since the Pi was started (Raspberry Pi documentation, "vcgencmd").
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from edgebert.watch import get_throttled, throttled

_SECONDS = 5.0


def raspberry_facts(root: Path = Path("/")) -> dict[str, Any]:
    """`throttled` (now) and `throttled_since_boot`, lists of words; empty where this is no Raspberry Pi.

    Args:
        root: stands for `/`; a vcgencmd below it is not run unless it is `/`.
    """
    bits = get_throttled(root)
    if bits is None and root == Path("/"):
        bits = _vcgencmd()
    if bits is None:
        return {}
    return {"throttled": throttled(bits), "throttled_since_boot": throttled(bits >> 16)}


def parse_throttled(text: str) -> int | None:
    """The bits of `throttled=0x50005`; None where the text is something else (an error message, say)."""
    found = re.fullmatch(r"\s*throttled=(0x[0-9a-fA-F]{1,8})\s*", text)
    return int(found.group(1), 16) if found else None


def _vcgencmd() -> int | None:
    command = shutil.which("vcgencmd") or shutil.which("vcgencmd", path="/usr/bin:/opt/vc/bin")
    if command is None:
        return None
    try:
        done = subprocess.run([command, "get_throttled"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_throttled(done.stdout)
