"""Style and types are part of the tests, and so are the rules of the layout."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPOKES = ("devices", "export", "runtimes")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> list[tuple[str, int]]:
    """Absolute modules that a file imports by statement, at any depth of its code, with their lines."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found += [(node.module, node.lineno), *((f"{node.module}.{a.name}", node.lineno) for a in node.names)]
    return found


def below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_ruff_check() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_ruff_format() -> None:
    command = [sys.executable, "-m", "ruff", "format", "--check", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_mypy_strict() -> None:
    """The four folders are one package to mypy only when they lie in one: a farm of links makes it so."""
    farm = ROOT / "build" / "typing"
    shutil.rmtree(farm, ignore_errors=True)
    (farm / "edgebert").mkdir(parents=True)
    for entry in (ROOT / "edgebert").iterdir():
        (farm / "edgebert" / entry.name).symlink_to(entry)
    for spoke in (*SPOKES, "examples"):
        (farm / "edgebert" / spoke).symlink_to(ROOT / spoke)
    command = [sys.executable, "-m", "mypy", "--strict", "-p", "edgebert"]
    command += ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(command, cwd=farm, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_hub_never_imports_a_spoke() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for path in sources("edgebert")
        for module, line in imports(path)
        if any(below(module, f"edgebert.{spoke}") or below(module, spoke) for spoke in SPOKES)
    ]
    assert not wrong


def test_spokes_never_import_one_another() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module}"
        for spoke in SPOKES
        for path in sources(spoke)
        for module, line in imports(path)
        if any(below(module, name) or below(module, f"edgebert.{name}") for name in SPOKES if name != spoke)
        or below(module, spoke)
    ]
    assert not wrong


def test_no_bare_spoke_is_loaded() -> None:
    """From the repository root `import export` works, and would load a second copy of everything."""
    assert not {name for name in sys.modules if name.split(".")[0] in SPOKES}


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources("edgebert", *SPOKES, "examples")
        if (count := len(path.read_text("utf-8").splitlines())) > 320
    }
    assert not long


DEVICE_MODULES = ("edgebert", "edgebert.worker", "edgebert.model", "edgebert.artifact", "edgebert.golden")
HOST_ONLY = ("torch", "transformers", "pydantic", "yaml", "onnx", "jinja2", "matplotlib", "sklearn", "scipy")


@pytest.mark.parametrize("module", DEVICE_MODULES)
def test_device_modules_load_nothing_of_the_host(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HOST_ONLY!r} if m in sys.modules])"
    # -P: the current folder must not be searched, where a clone named edgebert may lie.
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
