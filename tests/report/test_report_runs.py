"""Several devices and several runs in one report: tables, verdicts, JUnit XML, the model card, exit codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from edgebert.cli import main
from edgebert.report import Failure, Moment, Report, assemble, compare, render_markdown, write_junit, write_report
from edgebert.report.card import render_card
from edgebert.report.model import Result
from edgebert.report.render_html import render_html
from edgebert.report.view import headline
from edgebert.report.view_runs import device_table

Make = Callable[..., Any]


def drawn(result: Result, seed: int, slower: float = 1.0) -> Result:
    """The result with samples of its own, from a seed: made up, like all figures here."""
    random = np.random.default_rng(seed)
    middle = (result.latency_ms.p50 or 1.0) * slower
    launches = [middle * random.lognormal(0, 0.01) * random.lognormal(0, 0.05, 200) for _ in range(5)]
    return replace(result, samples_ms=tuple(tuple(map(float, launch)) for launch in launches))


def run_of(report: Make, seed: int, slower: float = 1.0) -> Report:
    made: Report = report()
    results = [drawn(r, 10 * seed + i, slower if r.name == "onnx-int8" else 1.0) for i, r in enumerate(made.results)]
    return replace(made, results=tuple(results))


@pytest.fixture
def both(report: Make) -> Report:
    return compare([run_of(report, 1), run_of(report, 2, 1.12)], ["monday", "tuesday"])


def test_what_became_slower_is_said_and_nothing_else(both: Report) -> None:
    verdicts = {c.name: c.verdict for c in both.comparisons}
    assert verdicts.pop("tuesday/onnx-int8") == "slower"
    assert set(verdicts.values()) == {"no difference seen"} and len(verdicts) == 4
    found = next(c for c in both.comparisons if c.verdict == "slower")
    assert found.base == "monday/onnx-int8" and found.ratio == pytest.approx(1.12, abs=0.03)
    assert headline(both) == "Latency: 1 slower, 4 no difference seen"


def test_runs_that_share_no_device_and_no_model(report: Make, result: Make) -> None:
    one = assemble([drawn(result(2), 1)], task="t", recipe={}, gates={})
    pi = assemble([drawn(result(2, device="ssh:pi5"), 2, 7.0)], task="t", recipe={}, gates={})
    (across,) = compare([one, pi], ["host", "pi"]).comparisons
    assert (across.base_device, across.device, across.verdict) == ("local", "ssh:pi5", "slower")
    other = assemble([drawn(result(4), 3, 0.5)], task="t", recipe={}, gates={})
    (models,) = compare([one, other], ["a", "b"]).comparisons
    assert (models.base, models.name, models.verdict) == ("a/onnx-int8", "b/tflite-int8", "faster")


def test_invalid_times_are_too_noisy_and_an_emulators_are_not_compared(result: Make) -> None:
    good = drawn(result(2), 1)
    bad = replace(drawn(result(2), 2, 3.0), valid=False, invalid=("the machine was throttled: under-voltage",))
    few = replace(good, samples_ms=good.samples_ms[:2])
    for other, words in ((bad, "throttled: under-voltage"), (few, "2 launches")):
        pair = [assemble([r], task="t", recipe={}, gates={}) for r in (good, other)]
        (found,) = compare(pair).comparisons
        assert found.verdict == "too noisy" and words in found.reason and found.ratio is None
    emulated = replace(good, emulated=True)
    assert compare([assemble([r], task="t", recipe={}, gates={}) for r in (good, emulated)]).comparisons == ()


def test_markdown_and_page_show_the_comparison(both: Report) -> None:
    text = render_markdown(both)
    assert "🔴 slower" in text and "monday/onnx-int8" in text and text.count("⚪ no difference seen") == 4
    page = render_html(both)
    assert "What has changed" in page and page.count("no difference seen</strong>") == 4 and "98 % interval" in page


@pytest.fixture
def failing(report: Make, result: Make) -> Report:
    made: Report = report(result(2, device="ssh:pi5", slower=7.0), result(3, device="ssh:pi5", slower=6.0))
    failure = Failure(device="android:X", message="android:X <is> unauthorized", hint="allow it", exit_code=3)
    return assemble(
        made.results, task=made.task, recipe=made.recipe, gates=made.gates, lineage=made.lineage, failures=[failure],
        about={"teacher": "minilm", "licence": "mit", "labels": 150, "records": {"train": 15000, "test": 4500}},
    )  # fmt: skip


def test_a_column_for_each_device_and_its_best(failing: Report) -> None:
    table = device_table(failing)
    assert table is not None and table.devices == ["local", "ssh:pi5", "android:X"]
    assert table.best == ["tflite-int8", "openvino-int8", "failed"]
    rows = {name: cells for name, cells, _ in table.rows}
    assert rows["tflite-int8"][0].startswith("0.37 ms · 95.3") and rows["tflite-int8"][1:] == ["—", "failed"]
    assert device_table(replace(failing, results=failing.of_device("local"), failures=())) is None
    assert failing.verdict == "unknown" and headline(failing).endswith("android:X failed")
    for text in (render_markdown(failing), render_html(failing)):
        assert "android:X" in text and "<is>" not in text and "best" in text


def test_junit_is_xml_with_every_gate(failing: Report, both: Report, tmp_path: Path) -> None:
    root = ElementTree.parse(write_junit(failing, tmp_path / "new" / "junit.xml")).getroot()
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"gates on local", "gates on ssh:pi5", "devices"}
    assert suites["gates on local"].get("tests") == "12" and suites["gates on local"].get("failures") == "0"
    assert suites["devices"].get("errors") == "1"
    root = ElementTree.parse(write_junit(both, tmp_path / "junit.xml")).getroot()
    latency = next(suite for suite in root if suite.get("name") == "latency")
    (failed,) = latency.findall("testcase/failure")
    assert str(failed.get("message")).startswith("slower: +1")


def test_the_model_card(failing: Report) -> None:
    yaml = pytest.importorskip("yaml")
    card = render_card(failing)
    front = yaml.safe_load(card.split("---")[1])
    assert front["license"] == "mit" and front["pipeline_tag"] == "text-classification"
    assert [entry["name"] for entry in front["model-index"]] == ["onnx-int8", "openvino-int8", "tflite-int8"]
    assert "15,000 train, 4,500 test" in card and "Nothing was measured on android:X" in card
    assert "| tflite-int8 | local | accuracy 95.31 %" in card and "licence is not known" not in card
    hostile = replace(failing, about={"teacher": "x\n---\n# <b>", "licence": "mit\nfoo: bar"})
    assert yaml.safe_load(render_card(hostile).split("\n---")[0].removeprefix("---"))["license"] == "mit\nfoo: bar"
    assert render_card(replace(failing, results=failing.results[:2])) == ""


def test_a_report_with_all_of_it_survives_json(both: Report, failing: Report) -> None:
    moment = Moment(launch=0, seconds=1.0, ms=0.4, mhz=1500.0)
    watched = replace(failing.results[2], over_time=(moment,), tokens=((1, 2),), attempts=({"invalid": ["hot"]},))
    full = replace(failing, results=(*failing.results[:2], watched, *failing.results[3:]))
    for each in (both, full):
        assert Report.from_json(each.to_json()) == each


@pytest.mark.parametrize(("fact", "words"), [("temperature_c", "Below: temperature"), ("mhz", "Below: frequency")])
def test_latency_over_time_is_drawn(report: Make, fact: str, words: str) -> None:
    made: Report = report()
    course = tuple(
        Moment(launch=i // 4, seconds=2.0 * i + 1, ms=0.4 + 0.01 * i, **{fact: 50.0 + i})  # type: ignore[arg-type]
        for i in range(12)
    )
    timed = [replace(r, over_time=course if r.role == "artifact" else ()) for r in made.results]
    page = render_html(replace(made, results=tuple(timed)))
    assert "Latency over time" in page and words in page and "0.40 to 0.51 ms" in page
    assert "Drift is a lasting change of more than that in the floor" in page
    assert "Latency over time" not in render_html(made)


def edgebert(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_report_fails_on_what_it_is_told_to(report: Make, tmp_path: Path) -> None:
    for name, seed, slower in (("monday", 1, 1.0), ("tuesday", 2, 1.12)):
        write_report(run_of(report, seed, slower), tmp_path / name)
    runs = (tmp_path / "monday", tmp_path / "tuesday", "-o", tmp_path / "both")
    done = edgebert(*runs, "--markdown", "--junit", tmp_path / "junit.xml")
    assert done.exit_code == 0 and done.stdout.startswith("## edgebert: Latency: 1 slower")
    assert (tmp_path / "junit.xml").exists() and not (tmp_path / "both" / "report.card.md").exists()
    assert edgebert(*runs, "--fail-on", "slower").exit_code == 1
    assert edgebert(*runs, "--fail-on", "noisy", "--fail-on", "gate").exit_code == 0
    said = edgebert(*runs).stdout
    assert "tuesday/onnx-int8 on local: slower than monday/onnx-int8: +1" in said
    assert edgebert(tmp_path / "monday").exit_code == 0 and (tmp_path / "monday" / "report.card.md").exists()
