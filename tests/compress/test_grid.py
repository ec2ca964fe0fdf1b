"""The benchmark of compression: its cells are recipes that can be run, and its grid weighs every level alike."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from edgebert.recipe import parse_recipe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def compress(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import compress

    return compress


@pytest.mark.parametrize("full", [False, True])
def test_every_cell_is_a_recipe(compress: Any, full: bool, tmp_path: Path) -> None:
    for name in compress.DATA:
        cells = list(compress.cells_of(name, full=full, seeds=3, epochs=4, precision="fp32"))
        for cell in cells:
            recipe = parse_recipe(json.dumps(compress.recipe_of(cell, tmp_path, tmp_path)))
            spent = recipe.distill.epochs + recipe.distill.layerwise_epochs + recipe.distill.intermediate_epochs
            assert spent == (0 if cell.part == "teacher" else 4)
        changed = {cell.levels["changed"] for cell in cells if cell.part == "ablation"}
        assert len(changed) == (len(compress.INGREDIENTS) if full else 4) + 1
        recipes = {json.dumps([cell.student, cell.distill]) for cell in cells if cell.part == "ablation"}
        assert len(recipes) == 3 * len(changed)  # no ingredient changes nothing


def test_the_half_of_the_grid_is_balanced(compress: Any) -> None:
    """Each pair of levels of two factors stands there as often as any other."""
    cells = compress.cells_of("clinc150", full=False, seeds=1, epochs=4, precision="fp32")
    levels = [cell.levels for cell in cells if cell.part == "grid"]
    assert len(levels) == 8
    for one, other in itertools.combinations(levels[0], 2):
        assert set(Counter((level[one], level[other]) for level in levels).values()) == {2}


def test_differences_have_students_interval(compress: Any) -> None:
    from compress_report import difference

    with_it, without = {"0": 93.1, "1": 92.2, "2": 94.0, "7": 1.0}, {"0": 91.0, "1": 91.9, "2": 92.5}
    found = difference(with_it, without)
    known = stats.ttest_rel([93.1, 92.2, 94.0], [91.0, 91.9, 92.5])
    low, high = known.confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((1.3, low, high))
    assert difference({"0": 1.0}, without) is None
