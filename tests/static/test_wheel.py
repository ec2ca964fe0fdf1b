"""The wheel holds what the tree holds, and works in an environment with nothing of the host in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = {"edgebert": "edgebert", "devices": "edgebert/devices", "export": "edgebert/export",
          "runtimes": "edgebert/runtimes", "examples": "edgebert/examples"}  # fmt: skip

#: Of other languages: no part of the Python package.
NOT_SHIPPED = ("devices/android/app",)


def test_wheel_holds_the_tree(wheel: Path) -> None:
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for folder, place in PLACES.items():
        for path in (ROOT / folder).rglob("*"):
            if any(path.is_relative_to(ROOT / name) for name in NOT_SHIPPED):
                continue
            if path.is_file() and "__pycache__" not in path.parts and path.name != "LICENSE-DATA":
                expected.add(f"{place}/{path.relative_to(ROOT / folder).as_posix()}")
    assert shipped == expected


def test_wheel_imports_without_the_host(wheel: Path, tmp_path: Path) -> None:
    """A clean environment: our wheel, and of everything else only the four packages of the base install."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    base = next((Path(sys.prefix) / "lib").glob("python*")) / "site-packages"
    needed = (
        "numpy",
        "numpy.libs",
        "tokenizers",
        "click",
        "rich",
        "pygments",
        "markdown_it",
        "mdurl",
        "huggingface_hub",
    )
    for name in needed:
        if (base / name).exists() and name != "huggingface_hub":
            (site / name).symlink_to(base / name)
    code = (
        "import json, sys, time\nstart = time.perf_counter()\nimport edgebert\n"
        "took = time.perf_counter() - start\nimport edgebert.cli, edgebert.model\n"
        "print(json.dumps([edgebert.__file__, took, 'torch' in sys.modules]))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    where, took, torch = json.loads(done.stdout)
    assert Path(where).is_relative_to(tmp_path) and not torch
    # The promise is 0.3 s; it is measured in benchmarks/. Ten times that would be a heavy import at the top.
    assert took < 3.0
    help_text = subprocess.run([python, "-I", "-m", "edgebert", "--help"], capture_output=True, text=True)
    assert "predict" in help_text.stdout
    missing = subprocess.run([python, "-I", "-m", "edgebert", "run", "x.yaml"], capture_output=True, text=True)
    assert missing.returncode == 2 and 'pip install "edgebert[host]"' in missing.stderr, missing.stderr
