"""An x86 processor without VNNI: Debian 13's qemu-user as a Haswell, by a script that stands for a Python interpreter.

Everything that takes `local:PYTHON` takes it. It proves right and wrong answers: its times are an emulator's.
"""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
from pathlib import Path

from android_standin import CACHE, KEYRING, emulator


def missing() -> str:
    """Why the stand-in cannot run here; empty when it can."""
    if platform.machine() != "x86_64":
        return "the engines of this interpreter are not for x86-64"
    absent = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return "" if Path(KEYRING).is_file() else f"{KEYRING} is absent: this is no Debian"


def python(folder: Path) -> Path:
    """Write the script into `folder`; it runs this very interpreter with all its packages."""
    CACHE.mkdir(parents=True, exist_ok=True)
    qemu = emulator().with_name("qemu-x86_64")
    script = folder / "haswell-python"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(qemu))} -cpu Haswell {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return script
