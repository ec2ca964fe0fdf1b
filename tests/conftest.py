"""What tests of several areas share: the real models and data outside the project, and a tiny BERT."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and models: EDGEBERT_SHARED, or `../shared` beside the checkout."""
    folder = Path(os.environ.get("EDGEBERT_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: set EDGEBERT_SHARED ({folder} is absent)")
    return folder
