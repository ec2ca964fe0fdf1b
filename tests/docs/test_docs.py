"""Pages that come from the code are what the code says; links and commands in the others are real."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgebert.cli import main
from edgebert.recipe import parse_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    for verb in re.findall(r"^\$? ?edgebert ([a-z]+)", page.read_text("utf-8"), re.MULTILINE):
        assert verb in main.commands, f"{page.name} names edgebert {verb}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    there = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"\btest_\w+\.py\b", page.read_text("utf-8"))) <= there


def test_recipes_in_the_readme_are_recipes() -> None:
    found = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert found
    for text in found:
        parse_recipe(text)


def test_manifest_page_names_every_field() -> None:
    from edgebert.schemas import manifest_schema

    page = (ROOT / "docs" / "artifact.md").read_text("utf-8")
    missing = [name for name in manifest_schema()["properties"] if f"`{name}`" not in page]
    assert not missing


def test_schemas_are_json() -> None:
    from edgebert.schemas import schema_of

    for what in ("recipe", "manifest", "report"):
        schema = json.loads(json.dumps(schema_of(what)))
        assert schema["$schema"] and schema["properties"]
