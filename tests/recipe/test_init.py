"""The recipe that `edgebert init` writes is one, and what stands in its comments is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgebert import registry, tasks
from edgebert.errors import UsageError
from edgebert.init import template, templates
from edgebert.recipe import load_recipe, parse_recipe


@pytest.mark.parametrize("task", templates())
def test_it_loads_once_its_files_are_there(task: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(template(task), encoding="utf-8")
    (tmp_path / "models" / "teacher").mkdir(parents=True)
    for name in ("train", "test"):
        for suffix in ("jsonl", "conll", "json"):
            (tmp_path / f"{name}.{suffix}").touch()
    assert load_recipe(tmp_path / "recipe.yaml").task == task


def test_every_task_has_one() -> None:
    assert set(templates()) == set(registry.BUILT_IN["tasks"])


# Which comments are keys: `# key: …`, and below `# distill:` the indented ones.
_COMMENTED = re.compile(r"^# ((?:  )?[a-z_]+:(?: .*)?)$", re.MULTILINE)


@pytest.mark.parametrize("task", templates())
def test_what_is_commented_out_can_be_put_in(task: str) -> None:
    text = template(task)
    defaults = [line for line in re.findall(r"^# ([a-z]+:.*)$", text, re.MULTILINE) if line.split(":")[0] in (
        "options", "lengths", "export", "devices", "measure")]  # fmt: skip
    assert defaults
    written, bare = parse_recipe(text + "\n".join(defaults) + "\n"), parse_recipe(text)
    assert written.model_copy(update={"options": {}}) == bare
    for option in written.options:
        assert option in tasks.get(task).options


def test_what_is_commented_out_are_the_defaults() -> None:
    text = template("text-classification")
    sections = ("lengths", "student", "distill", "export", "devices", "measure")
    kept = [
        line
        for line in _COMMENTED.findall(text)
        if line.startswith("  ") or line.partition(":")[0] in sections
        if not line.startswith("vocabulary")
    ]
    assert len(kept) == 6 + 7
    written, bare = parse_recipe(text + "\n".join(kept) + "\n"), parse_recipe(text)
    assert written == bare


def test_every_gate_in_its_comments_is_one() -> None:
    text = template("text-classification")
    gates = re.sub(r"^  # ", "  ", text[text.index("gates:") :], flags=re.MULTILINE)
    found = parse_recipe(text[: text.index("gates:")] + gates).gates.limits("local")
    assert len(found) == 7


def test_the_teachers_in_its_comments_load() -> None:
    text = template("text-classification")
    others = re.findall(r"^# (teacher: \{.*\})$", text, flags=re.MULTILINE)
    assert len(others) == 2
    for other in others:
        parse_recipe(text.replace("teacher: models/teacher", other, 1))


def test_an_unknown_task() -> None:
    with pytest.raises(UsageError) as caught:
        template("text-clasification")
    assert caught.value.message == "no recipe for the task 'text-clasification'"
    assert caught.value.hint == "did you mean 'text-classification'?"
    with pytest.raises(UsageError) as caught:
        template("../secrets")
    assert caught.value.hint == f"known: {', '.join(sorted(registry.BUILT_IN['tasks']))}"
