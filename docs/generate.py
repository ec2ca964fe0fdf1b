"""Writes the pages of `docs/` that come from the code: `python docs/generate.py [--check]`.

`commands.md` is what the command line says of itself, `recipe.md` what the recipe's schema says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from edgebert.cli import main as command_line
from edgebert.recipe import recipe_schema

HERE = Path(__file__).parent
MADE = "<!-- made by docs/generate.py: change the code, not this page -->\n"


def commands() -> str:
    """Every verb's help."""
    runner = CliRunner()
    whole = runner.invoke(command_line, ["--help"], prog_name="edgebert", terminal_width=100).output
    parts = [f"# Commands\n{MADE}\n```\n{whole}```\n"]
    for verb in command_line.commands:
        shown = runner.invoke(command_line, [verb, "--help"], prog_name="edgebert", terminal_width=100).output
        parts.append(f"\n## edgebert {verb}\n\n```\n{shown}```\n")
    return "".join(parts)


def recipe() -> str:
    """Every key of a recipe: what it takes, its default, what it means."""
    schema = recipe_schema()
    parts = [
        f"# Recipe reference\n{MADE}\n"
        "Paths are relative to the recipe's own folder. Every key but `task`, `teacher` and `data` has a default.\n"
        "`edgebert init text-classification` writes a commented recipe; `edgebert schema recipe` prints the JSON\n"
        "Schema, which editors use for completion.\n",
        _table("recipe", schema, schema),
    ]
    for name, body in schema["$defs"].items():
        if "properties" in body:
            parts.append(_table(name.removesuffix("Spec").lower(), body, schema))
    return "\n".join(parts)


def _table(title: str, body: dict[str, Any], schema: dict[str, Any]) -> str:
    lines = [
        f"## {title}\n",
        body.get("description", "") + "\n",
        "| key | takes | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, field in body["properties"].items():
        default = "required" if key in body.get("required", []) else f"`{field.get('default')}`"
        if isinstance(field.get("default"), dict) and "$ref" in field:
            default = "as below"
        lines.append(
            f"| `{key}` | {_kind(field)} | {default} | {field.get('description', '')} |".replace("`None`", "none")
        )
    return "\n".join(lines) + "\n"


def _kind(field: dict[str, Any]) -> str:
    """A field's type in words."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1].removesuffix("Spec").lower()
        return f"[{name}](#{name})"
    for choice in ("anyOf", "oneOf"):
        if choice in field:
            return " or ".join(dict.fromkeys(_kind(one) for one in field[choice]))
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = field.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(field['items'])}" if "items" in field else "list"
    if kind == "object":
        values = field.get("additionalProperties")
        return f"mapping to {_kind(values)}" if isinstance(values, dict) else "mapping"
    return {"null": "nothing", "string": "text"}.get(kind, kind)


PAGES = {"commands.md": commands, "recipe.md": recipe}


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check say which are not what the code says."""
    stale = [name for name, make in PAGES.items() if _read(HERE / name) != make()]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is not what the code says: run python docs/generate.py")
        return 1 if stale else 0
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), "utf-8")
    return 0


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
