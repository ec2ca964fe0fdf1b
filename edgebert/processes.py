"""Child processes that never outlive who started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

#: Environment variable in which a parent tells a child its process id.
PARENT = "EDGEBERT_PARENT"

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process when `parent` is gone, however that came about (Linux; see prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the kernel was told
            os._exit(1)
