"""A report as JUnit XML, which CI services show beside the results of tests.

Each gate on each artifact is a test case, and each comparison with another run. A verdict of unknown, or a
measurement too noisy to say, is a skipped one; what is slower fails (layout: the JUnit XSD of the Ant project).
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from edgebert.gate import check, describe
from edgebert.report.model import Report
from edgebert.report.view_runs import against


def render_junit(report: Report) -> str:
    """The document; the same report gives the same text."""
    root = Xml.Element("testsuites", name="edgebert")
    for device in report.devices:
        cases = []
        for result in report.of_device(device):
            for each in check(result, report.gates):
                case = _case(f"{result.name}: {describe(each.gate, each.limit)}", f"edgebert.gates.{device}")
                _say(case, {"fail": "failure", "unknown": "skipped"}.get(each.verdict), each.reason)
                cases.append(case)
        _suite(root, f"gates on {device}", cases)
    cases = []
    for comparison in against(report):
        case = _case(f"{comparison.name} against {comparison.base}", f"edgebert.latency.{comparison.device}")
        words = f"{comparison.verdict}: {comparison.reason or f'{comparison.ratio} ({comparison.interval})'}"
        _say(case, {"slower": "failure", "too noisy": "skipped"}.get(comparison.verdict), words)
        cases.append(case)
    _suite(root, "latency", cases)
    cases = []
    for failure in report.failures:
        case = _case(failure.device, "edgebert.devices")
        _say(case, "error", f"{failure.message} ({failure.hint})")
        cases.append(case)
    _suite(root, "devices", cases)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _case(name: str, place: str) -> Xml.Element:
    return Xml.Element("testcase", name=_clean(name), classname=_clean(place), time="0")


def _say(case: Xml.Element, kind: str | None, words: str) -> None:
    if kind is not None:
        Xml.SubElement(case, kind, message=_clean(words))


def _suite(root: Xml.Element, name: str, cases: Sequence[Xml.Element]) -> None:
    if not cases:
        return
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    suite = Xml.SubElement(
        root, "testsuite", name=_clean(name), tests=str(len(cases)), failures=str(counts["failure"]),
        errors=str(counts["error"]), skipped=str(counts["skipped"]), time="0",
    )  # fmt: skip
    suite.extend(cases)


def _clean(text: str) -> str:
    """Text without what XML 1.0 cannot hold: control characters and lone surrogates."""
    return "".join(c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
