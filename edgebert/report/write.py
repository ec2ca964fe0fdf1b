"""Putting a report together, and writing its forms."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgebert.errors import UsageError
from edgebert.gate import judged, overall, unmatched_devices
from edgebert.report.card import CARD, render_card
from edgebert.report.junit import render_junit
from edgebert.report.model import REPORT, SCHEMA_VERSION, LineageStep, Report, Result, best_of
from edgebert.report.parts import Failure
from edgebert.report.render_html import render_html
from edgebert.report.render_markdown import render_markdown


def assemble(
    results: Sequence[Result],
    *,
    task: str,
    recipe: Mapping[str, Any],
    gates: Mapping[str, Any],
    lineage: Sequence[LineageStep] = (),
    notes: Sequence[str] = (),
    created: str | None = None,
    failures: Sequence[Failure] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
    quantization: Mapping[str, Any] = MappingProxyType({}),
) -> Report:
    """Judge the results and make the report of them.

    Args:
        results: teacher and student first; their verdicts are set here.
        task: name of the task.
        recipe: as JSON values, defaults filled in.
        gates: gate -> limit; None and absent both mean no limit.
        lineage: teacher, student, artifacts.
        notes: what a reader should know.
        created: ISO 8601, only when the time shall be in the report.
        failures: devices on which nothing could be measured; what they would have shown is unknown.
        about: for the model card.
        quantization: artifact -> what went back to float there.
    """
    from edgebert import __version__

    given = {name: limit for name, limit in gates.items() if limit is not None}
    done = judged(results, given)
    lost = unmatched_devices(results, given) if not failures else ()
    verdict = overall(done)
    return Report(
        schema_version=SCHEMA_VERSION,
        edgebert=__version__,
        recipe=recipe,
        task=task,
        results=done,
        gates=given,
        verdict="unknown" if failures and verdict == "pass" else verdict,
        notes=(
            *notes,
            *(f"A gate names the device {device}, on which nothing was measured." for device in lost),
        ),
        lineage=tuple(lineage),
        best=best_of(done),
        created=created,
        failures=tuple(failures),
        about=about,
        quantization=quantization,
    )


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write `report.json`, `report.md`, `report.html` and the model card, each at once or not at all.

    Args:
        report: what to write.
        folder: made when it is not there; files of those names are replaced.

    Returns:
        The paths, in that order; there is no model card of several runs, nor of a run without artifacts.

    Raises:
        UsageError: the folder cannot be written to.
        DataError: the report holds what JSON cannot (a figure that is not finite, a field of a wrong type).
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    # All are rendered before the first is written, and the JSON is read back: what we write, we can read.
    value = report.to_json()
    Report.from_json(value)
    texts = {
        REPORT: _as_json(value),
        "report.md": render_markdown(report),
        "report.html": render_html(report),
    }
    if not report.comparisons and report.lineage and (card := render_card(report)):
        texts[CARD] = card
    return _write_all({folder / name: text for name, text in texts.items()}, folder)


def write_junit(report: Report, path: Path) -> Path:
    """Write gates and comparisons as JUnit XML, at once or not at all.

    Raises:
        UsageError: the file cannot be written.
    """
    return _write_all({path: render_junit(report)}, path)[0]


def _write_all(files: Mapping[Path, str], where: Path) -> list[Path]:
    try:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
        return [_write(path, text) for path, text in files.items()]
    except OSError as error:
        raise UsageError(
            f"the report cannot be written to {where}: {error.strerror or error}",
            "give a folder that you may write to",
        ) from error


def _as_json(value: Any) -> str:
    """One field a line, but samples side by side: no JSON string holds a line break, so none is touched."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[\n\s+([-+.,\deE\s]+?)\n\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def _write(path: Path, text: str) -> Path:
    """Replace a file by a synced temporary one beside it."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            # A lone surrogate (a file name in another encoding) becomes a question mark, not a crash at the end.
            handle.write(text.encode("utf-8", errors="replace"))
            handle.flush()
            os.fsync(handle.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
