"""Figures in words, comparisons of runs, and names in pictures that do not cover one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Annotation

from edgebert.errors import UsageError
from edgebert.report import Report, Result, compare, svg, view
from edgebert.report.labels import Named, place, spread
from edgebert.report.plots import pictures

Make = Callable[..., Report]
MakeResult = Callable[..., Result]


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0421, "0.042"), (0.418, "0.42"), (7.206, "7.21"), (72.06, "72.1"), (2551.2, "2551")]
)
def test_numbers(value: float, expected: str) -> None:
    assert view.number(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(0.36, "0.36"), (-0.1, "−0.10"), (-0.001, "0.00"), (0.0, "0.00")])
def test_signed(value: float, expected: str) -> None:
    assert view.signed(value) == expected


def test_headlines(report: Make) -> None:
    whole = report()
    artifacts = [r for r in whole.results if r.role == "artifact"]

    def said(*verdicts: str) -> str:
        judged = tuple(replace(r, verdict=v) for r, v in zip(artifacts, verdicts, strict=False))  # type: ignore[arg-type]
        return view.headline(replace(whole, results=judged))

    assert said("pass", "pass", "pass") == "All 3 artifacts pass"
    assert said("pass", "pass") == "Both artifacts pass"
    assert said("pass") == "The artifact passes"
    assert said("pass", "fail", "pass") == "1 of 3 artifacts fails"
    assert said("fail", "fail", "unknown") == "2 of 3 artifacts fail, 1 could not be judged"
    assert said("unknown", "pass", "pass") == "1 of 3 artifacts could not be judged"
    assert said() == "No artifact was judged"
    assert view.headline(report(gates={})) == "3 artifacts, and no gate to judge them"


def test_gains_are_against_the_same_device(result: MakeResult) -> None:
    teacher, here, there = result(0), result(2), result(2, device="ssh:pi", slower=6.0)
    everything = [teacher, here, there]
    assert teacher.latency_ms.p50 and here.latency_ms.p50
    assert view.speed_up(here, everything) == pytest.approx(teacher.latency_ms.p50 / here.latency_ms.p50)
    assert view.speed_up(there, everything) is None
    assert view.shrinkage(there, everything) == pytest.approx(90.9 / 7.46)
    assert view.speed_up(teacher, everything) is None
    for doubt in ({"valid": False}, {"emulated": True}):
        assert view.speed_up(result(2, **doubt), everything) is None
        assert view.speed_up(here, [result(0, **doubt)]) is None


def test_facts() -> None:
    nested = {
        "cpu_model": "X",
        "temperature_c": {"before": 51.0, "after": None},
        "ok": True,
        "load": [0.5, 1],
        "none": [],
    }
    assert view.flat(nested) == {"CPU model": "X", "temperature °C, before": "51", "ok": "yes", "load": "0.5, 1"}


def test_facts_of_memory() -> None:
    assert view.flat({"memory_bytes": 25_276_510_208}) == {"memory": "25.3 GB"}


def test_summary(report: Make, result: MakeResult) -> None:
    whole = report()

    def said(drop: float) -> str:
        results = tuple(replace(r, drop=drop) if r.name == "tflite-int8" else r for r in whole.results)
        return view.summary(replace(whole, results=results)).rpartition("teacher, ")[2]

    assert said(0.42) == "0.42 points below it."
    assert said(-0.42) == "0.42 points above it."
    assert said(0.0) == "with the same accuracy."
    assert view.summary(report(gates={"max_size_mb": 1})) == ""
    assert view.row(result(parameters=96_673), []).weights == "97 k weights"


def test_compare(report: Make, result: MakeResult) -> None:
    slow = [replace(r, name=r.name, latency_ms=replace(r.latency_ms, p50=9.0)) for r in report().results]
    second = replace(report(notes=["hot"]), results=tuple(slow), gates={"max_size_mb": 9})
    both = compare([report(), second], ["a", "b"])
    assert [r.name for r in both.results][::5] == ["a/teacher", "b/teacher"]
    assert len(both.results) == 10
    assert both.best == {"local": "a/tflite-int8"}
    assert both.notes == ("The runs have different gates; each verdict is of the run's own.", "b: hot")
    assert (both.verdict, both.gates) == ("pass", {})
    assert both.lineage[6].parent == "b/teacher"
    assert both.lineage[5].parent is None
    student = both.results[6]
    assert view.speed_up(student, both.results) == 1.0  # against the teacher of its own run
    assert Report.from_json(both.to_json()) == Report.from_json(both.to_json())


def test_compare_refuses(report: Make) -> None:
    assert compare([report()]) == report()
    with pytest.raises(UsageError, match="no report"):
        compare([])
    with pytest.raises(UsageError, match="different names"):
        compare([report(), report()], ["a", "a"])
    with pytest.raises(UsageError, match="text-classification and ner"):
        compare([report(), replace(report(), task="ner")])


@pytest.mark.parametrize("seed", range(12))
def test_names_do_not_cover_one_another(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = 3 + seed % 4
    x = np.concatenate([random.lognormal(-0.9, 0.1, count - 1), [7.0]])
    with svg.style():
        made = svg.figure(4.3, 3.5)
        axes = made.add_axes((0.12, 0.14, 0.86, 0.82))
        axes.set_xscale("log")
        axes.plot(x, random.normal(95.3, 0.1, count), "o", ms=7)
        axes.margins(0.2)
        axes.figure.canvas.draw()
        points = np.asarray(axes.lines[0].get_xydata())
        place(axes, [Named(a, b, f"openvino-int{i}", svg.INK) for i, (a, b) in enumerate(points)])
        assert axes.get_legend() is None
        boxes = _boxes(axes)
        spots = axes.transData.transform(points)
    assert len(boxes) == count
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert not any(box.contains(*spot) for box in boxes for spot in spots)


def test_too_many_names_become_a_legend() -> None:
    with svg.style():
        made = svg.figure(4.3, 3.5)
        axes = made.add_axes((0.12, 0.14, 0.86, 0.82))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        place(axes, [Named(0.5, 0.5, f"a rather long name, number {i}", svg.INK, "o") for i in range(40)])
        legend = axes.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 40
    assert not axes.texts


def test_names_at_line_ends_keep_their_distance() -> None:
    with svg.style():
        made = svg.figure(4.3, 3.5)
        axes = made.add_axes((0.1, 0.14, 0.6, 0.82))
        axes.set(xlim=(0, 1), ylim=(0, 1))
        spread(axes, [Named(1, y, f"name {y}", svg.INK) for y in (0.5, 0.505, 0.1, 0.49, 0.99, 1.0)], gap=11)
        boxes = _boxes(axes)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def _boxes(axes: object) -> list:  # type: ignore[type-arg]
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    assert isinstance(axes, Axes)
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    found = []
    for text in axes.texts:
        assert isinstance(text, Annotation)
        text.update_positions(renderer)
        found.append(Text.get_window_extent(text, renderer))  # the words without their leader line
    return found


def test_pictures_leave_out_what_they_cannot_show(result: MakeResult) -> None:
    drawn = [picture.title for picture in pictures([result(0), result(2)])]
    assert drawn == ["Accuracy against latency", "How latency is spread", "Engine time against sequence length"]
    assert [p.title for p in pictures([result(2, engine_ms={"16": 0.3})])] == ["How latency is spread"]
    assert pictures([result(0, emulated=True), result(2, emulated=True)]) == []
    assert pictures([]) == []


@pytest.mark.filterwarnings("error")
def test_names_in_other_scripts(result: MakeResult) -> None:
    drawn = pictures([result(0), result(2, name="模型-int8"), result(3, name="нога")])
    assert all("模型-int8" in picture.svg for picture in drawn)


def test_pictures_of_constant_and_extreme_samples(result: MakeResult) -> None:
    flat = result(2, samples_ms=((0.5,) * 50,) * 5)
    wild = result(3, samples_ms=((0.0, 900.0) * 50,) * 5)
    assert len(pictures([flat, wild])) == 3
