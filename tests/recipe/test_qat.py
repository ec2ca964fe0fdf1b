"""The section `qat` of a recipe: true, settings or nothing, its errors, and what a dry run says of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgebert.dryrun import dry_run
from edgebert.errors import RecipeError
from edgebert.recipe import QatSpec, parse_recipe
from edgebert.teacher import Teacher

SMALL = """\
task: text-classification
teacher: owner/name
data:
  train: {path: train.jsonl}
  test: {path: test.jsonl}
"""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", None),
        ("qat: false", None),
        ("qat: true", QatSpec()),
        ("qat: {}", QatSpec()),
        ("qat: {steps: 50, lr: 2e-5}", QatSpec(steps=50, lr=2e-5)),
    ],
)
def test_what_may_be_written(written: str, meant: QatSpec | None) -> None:
    assert parse_recipe(SMALL + written).qat == meant


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("qat: {step: 3}", "6: qat.step: unknown key; did you mean 'steps'?"),
        ("qat: {steps: 0}", "6: qat.steps: must be at least 1, found 0"),
        ("qat: {lr: '1'}", "6: qat.lr: expected a number, found the text '1'"),
        ("qat: yes please", "6: qat: expected a mapping"),
        ("qat: 300", "6: qat: expected a mapping"),
        ("qta: true", "6: qta: unknown key; did you mean 'qat'?"),
    ],
)
def test_what_may_not(written: str, told: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(told)):
        parse_recipe(SMALL + written)


def test_it_is_part_of_the_identity_only_where_it_is_asked_for() -> None:
    """Students that were made before there was such a thing keep their key."""
    sections = ("student", "distill", "qat")
    plain, asked, other = (
        parse_recipe(SMALL + text).section_json(*sections) for text in ("", "qat: true", "qat: {steps: 9}")
    )
    assert plain == parse_recipe(SMALL).section_json("student", "distill") and "qat" not in plain
    assert len({plain, asked, other}) == 3


def test_a_dry_run_tells_of_it(teacher: Teacher, records: list[dict[str, str]], tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    recipe = SMALL.replace("owner/name", str(teacher.path)) + "lengths: [16]\n"
    told = []
    for number, more in enumerate(("", "qat: {steps: 1200}\ndistill: {batch_size: 8}")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(recipe + more, "utf-8")
        told.append(dry_run(path, tmp_path / "out", ()))
    assert "qat" not in told[0]
    assert "\nqat      1,200 steps more, rounded to INT8, 8 texts each\n" in told[1]
    assert re.search(r"cost .*qat \d+ min", told[1])
