"""The three forms: nothing from outside, nothing taken as markup, the same bytes for the same report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgebert.errors import DataError, UsageError
from edgebert.report import LineageStep, Report, Result, summary_table, write_report
from edgebert.report.render_html import render_html
from edgebert.report.render_markdown import render_markdown

Make = Callable[..., Report]
MakeResult = Callable[..., Result]
VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = "<script>alert(1)</script> | `x` \"' $a_1$ & \\frac\n[link](http://example.com) ]]> --> \udcff"


class Page(HTMLParser):
    """Tags, attributes and visible text; complains about tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def test_needs_nothing_from_outside(report: Make) -> None:
    html = render_html(report())
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        for name in ("href", "xlink:href", "src", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", html))


def test_identifiers_are_unique_and_resolve(report: Make, result: MakeResult) -> None:
    page = Page(render_html(report(result(2, device="ssh:pi", slower=6.0), result(3, device="ssh:pi", slower=6.0))))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {str(a[name])[1:] for _, a in page.tags for name in ("xlink:href",) if name in a}
    targets |= {found for _, a in page.tags for found in re.findall(r"url\(#([^)]+)\)", a.get("clip-path") or "")}
    assert targets
    assert targets <= set(ids)


def test_shows_what_was_measured(report: Make) -> None:
    words = Page(render_html(report(notes=["Mind the gap."]))).words
    for expected in (
        "All 3 artifacts pass",
        "tflite-int8 is the quickest that passes on local: 0.37 ms at the median, 19.7 times faster and 12.3 times "
        "smaller than the teacher, 0.42 points below it.",
        "95.31 %", "94.7 to 95.9", "99.68 %", "17.1 ×", "12.2 ×", "7.46 MB", "64.0 MB", "168 ms", "torch fp32",
        "Accuracy against latency", "How latency is spread", "Engine time against sequence length",
        "1 point below the teacher", "p90 at most 5.0 ms", "Example CPU @ 2.90GHz", "Mind the gap.",
        "Each model was started 5 times in a process of its own, with 1,000 timed answers",
        report().lineage[4].id,
    ):  # fmt: skip
        assert expected in words


def test_pictures_take_the_colours_of_the_page(report: Make) -> None:
    pictures = re.findall(r"<figure.*?</figure>", render_html(report()), flags=re.DOTALL)
    assert len(pictures) == 3
    for picture in pictures:
        assert 'role="img" aria-label="' in picture
        assert not re.search(r"(fill|stroke): *(#|black|rgb)", picture)
        assert not re.search(r"(?<![;\w])fill=\"", picture)
        assert set(re.findall(r"font-family: *([^;\"]+)", picture)) <= {"inherit"}
        assert "var(--ink)" in picture
        assert "var(--tflite)" in picture


def test_hostile_names(report: Make, result: MakeResult, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"cpu_model": HOSTILE, HOSTILE: [HOSTILE, {"x": HOSTILE}]}
    evil = result(3, name=HOSTILE, facts=facts)
    step = LineageStep(name=HOSTILE, role="artifact", id=HOSTILE, parent=HOSTILE, metric=None)
    whole = report(evil, result(4, device=HOSTILE), gates={"max_size_mb": 1, "max_p50_ms": {HOSTILE: 1}})
    whole = replace(whole, task=HOSTILE, notes=(HOSTILE,), recipe={HOSTILE: HOSTILE}, lineage=(step,))
    _, markdown, html = (path.read_text("utf-8") for path in write_report(whole, tmp_path)[:3])
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.words.count("<script>alert(1)</script>") > 10
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["task"] == HOSTILE.replace("\udcff", "?")
    assert "<script" not in markdown
    assert not re.search(r"(?<!\\)\]\(", markdown)
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4, 15}  # a table of devices, and one of models


def test_the_same_report_gives_the_same_bytes(report: Make, tmp_path: Path) -> None:
    here = [path.read_bytes() for path in write_report(report(), tmp_path / "here")]
    assert here == [path.read_bytes() for path in write_report(report(), tmp_path / "again")]
    script = "import sys; from pathlib import Path; from edgebert.report import *; " \
        "write_report(read_report(Path(sys.argv[1])), Path(sys.argv[2]))"  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "here"), str(tmp_path / "there")],
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
    )
    for name in ("report.json", "report.md", "report.html"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_emulated_times_are_not_shown(report: Make, result: MakeResult) -> None:
    emulated = result(2, name="emulated-one", device="emulator", emulated=True)
    section = (
        render_html(report(emulated)).split('<section aria-label="Results on emulator">')[1].split("</section>")[0]
    )
    page = Page(section)
    assert "emulated: times are not a device's" in page.words
    assert "Emulated: times are not a device’s" in page.words
    assert " ms" not in page.words
    assert "<figure" not in section
    line = next(line for line in render_markdown(report(emulated)).splitlines() if "emulated-one |" in line)
    assert " ms" not in line
    assert "emulated" in line.partition("|")[2].partition("|")[2]


def test_invalid_measurements_are_marked(report: Make, result: MakeResult) -> None:
    throttled = result(2, name="throttled", valid=False)
    html = render_html(report(throttled, gates={"max_p50_ms": 5}))
    assert "throttled (invalid)" in html
    assert "p50 is unknown: the measurement is invalid" in html
    assert "invalid: the machine drifted, was throttled or busy" in html
    assert "1 of 4 artifacts could not be judged" in html
    row = html[html.index('scope="row">throttled') :].split("</tr>")[0]
    assert 'class="doubtful"' in row
    assert row.count("×") == 1  # smaller still counts, faster does not


def test_failures_give_their_reasons(report: Make) -> None:
    whole = report(gates={"max_metric_drop": 0.45})
    for text in (Page(render_html(whole)).words, render_markdown(whole)):
        assert "2 of 3 artifacts fail" in text
        assert "drop 0.53 points is above the 0.45 allowed" in text


def test_sparse_reports_are_written(report: Make, result: MakeResult, tmp_path: Path) -> None:
    bare = result(
        2, metric=None, drop=None, agreement=None, flips=None, cold_start_ms=None, peak_rss_bytes=None, engine_ms={},
        samples_ms=(), facts={}, latency_ms=replace(result().latency_ms, p50=None, p90=None, p95=None, p99=None, n=0),
    )  # fmt: skip
    for name, results in {"bare": (bare,), "none": ()}.items():
        whole = replace(report(gates={}), results=results, lineage=(), best={}, recipe={}, verdict="unknown")
        page = Page(write_report(whole, tmp_path / name)[2].read_text("utf-8"))
        assert "svg" not in {tag for tag, attributes in page.tags if "aria-label" in attributes}


def test_markdown_table(report: Make) -> None:
    text = render_markdown(report())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 7
    assert {line.count("|") for line in lines} == {15}
    assert "| tflite-int8 | 95.31 % (94.7 to 95.9) | 0.42 | 99.68 % | 9 |" in text
    assert text.startswith("## edgebert: All 3 artifacts pass\n")


def test_terminal_table(report: Make, result: MakeResult) -> None:
    whole = report(result(2, name="[red]x[/red]", device="ssh:pi", emulated=True))
    console = Console(width=160, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    console.print(summary_table(whole))
    lines = console.export_text().splitlines()
    assert len(lines) == 7
    assert "0.37 ms" in lines[5]
    assert lines[6].split()[:2] == ["[red]x[/red]", "ssh:pi"]
    assert "(emulated)" in lines[6]


def test_nothing_is_written_when_rendering_fails(report: Make, result: MakeResult, tmp_path: Path) -> None:
    broken = report(result(2, name="nan", drop=float("nan")))
    with pytest.raises(DataError, match=r"results\[5\]\.drop is nan"):
        write_report(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_write_leaves_the_old_file(
    report: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report(report(), tmp_path)
    before = (tmp_path / "report.json").read_bytes()

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_report(report(notes=["new"]), tmp_path)
    assert (tmp_path / "report.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.card.md",
        "report.html",
        "report.json",
        "report.md",
    ]


def test_a_folder_that_cannot_be_made(report: Make, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(report(), tmp_path / "file")


def test_further_figures_are_shown_where_there_are_some(report: Callable[..., Report]) -> None:
    plain = report()
    assert "Further figures" not in render_html(plain) and "exact match" not in render_markdown(plain)
    first, *others = plain.results
    told = replace(plain, results=(replace(first, figures={"exact_match": 0.875, "rmse": 0.5}), *others))
    page, text = render_html(told), render_markdown(told)
    assert "Further figures" in page and "exact match" in page and "87.50 %" in page and "0.5000" in page
    assert "| model | exact match | rmse |" in text and "87.50 %" in text
