"""`edgebert report` of one run and of two."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from edgebert.cli import main
from edgebert.report import write_report


def edgebert(*arguments: object) -> str:
    done = CliRunner().invoke(main, ["report", *(str(argument) for argument in arguments)])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_report_of_a_run_and_of_two(report: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("monday", "tuesday"):
        write_report(report(), tmp_path / name)
    assert json.loads(edgebert(tmp_path / "monday", "--json"))["results"]
    edgebert(tmp_path / "monday", tmp_path / "tuesday", "-o", tmp_path / "both")
    names = {path.name for path in (tmp_path / "both").iterdir()}
    assert {"report.json", "report.md", "report.html"} <= names
