"""Shares of a batch: together they are the whole batch, in real processes too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "share_gradients.py"


@pytest.mark.parametrize("processes", [3])
def test_gradients_of_shares_are_those_of_the_whole_batch(processes: int) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run([*command, str(SCRIPT)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) > 50
    # Weights of shares are in single precision, all else in double.
    assert {name: error for name, error in errors.items() if max(error) > 1e-6} == {}
