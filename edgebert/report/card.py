"""A model card of a run's artifacts: what they are, what they were seen to do, and what they are not for.

The front matter is that of Hugging Face model cards (Mitchell et al. 2019, "Model Cards for Model Reporting").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgebert.report.model import Report, Result
from edgebert.report.render_markdown import safe
from edgebert.report.view import NOTHING, percent, row

CARD = "report.card.md"

_PIPELINES = {
    "text-classification": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "embeddings": "sentence-similarity",
}


def render_card(report: Report) -> str:
    """The card of all artifacts of one run; empty where it has none."""
    artifacts = [result for result in report.results if result.role == "artifact"]
    names = list(dict.fromkeys(result.name for result in artifacts))
    if not names:
        return ""
    parts = [_front(report, artifacts), f"# {safe(_title(report))}", _what(report, names)]
    parts += ["## How good, how quick, how large", _table(artifacts), _devices(artifacts)]
    parts += ["## Data", _data(report), "## Lineage", _lineage(report), "## Limits", _limits(report, artifacts)]
    parts += ["## Use", _use(names[0])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front(report: Report, artifacts: Sequence[Result]) -> str:
    """The YAML block; values are JSON, which YAML reads, so that no name can break out of its line."""
    measured = {r.name: r.metric for r in artifacts if r.metric is not None}
    index = [
        {
            "name": name,
            "results": [
                {
                    "task": {"type": _PIPELINES.get(report.task, report.task)},
                    "dataset": {"name": _test_data(report), "type": "custom"},
                    "metrics": [{"type": metric.name, "value": round(metric.value, 6)}],
                }
            ],
        }
        for name, metric in measured.items()
    ]
    fields = {
        "license": _licence(report),
        "library_name": "edgebert",
        "pipeline_tag": _PIPELINES.get(report.task, report.task),
        "tags": ["edgebert", *sorted({r.format for r in artifacts}), *sorted({r.precision for r in artifacts})],
        "model-index": index,
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _title(report: Report) -> str:
    return f"{report.about.get('teacher') or report.task}, distilled and quantized for the edge"


def _what(report: Report, names: Sequence[str]) -> str:
    labels = report.about.get("labels")
    told = f", {labels} labels" if labels else ""
    return (
        f"Task: {safe(report.task)}{told}. {len(names)} artifact{'' if len(names) == 1 else 's'} of one student: "
        f"{', '.join(f'`{name}`' for name in names)}. Made by edgebert {report.edgebert}; licence of the teacher: "
        f"{safe(_licence(report))}."
    )


def _table(artifacts: Sequence[Result]) -> str:
    lines = ["| artifact | device | metric (95 % interval) | p50 | p90 | model | peak memory | verdict |",
             "|:--|:--|--:|--:|--:|--:|--:|:--|"]  # fmt: skip
    for result in artifacts:
        line = row(result, artifacts)
        score = f"{line.metric} ({line.metric_interval})" if line.metric_interval else line.metric
        name = f"{safe(result.metric.name)} " if result.metric else ""
        times = ("emulated", "emulated") if result.emulated else (line.p50, line.p90)
        doubt = "" if result.valid else " (times invalid)"
        cells = [safe(result.name), safe(result.device), f"{name}{score}", *times, line.size, line.rss]
        lines.append(f"| {' | '.join(cells)} | {result.verdict}{doubt} |")
    return "\n".join(lines)


def _devices(artifacts: Sequence[Result]) -> str:
    """What the devices are, in one line each."""
    lines = []
    for device in dict.fromkeys(result.device for result in artifacts):
        result = next(r for r in artifacts if r.device == device)
        facts = result.facts
        parts = [facts.get("model"), facts.get("cpu"), facts.get("machine"), facts.get("distribution")]
        known = [str(part) for part in parts if part]
        engines = dict.fromkeys(str(r.facts.get("engine")) for r in artifacts if r.device == device)
        kind = ", emulated" if result.emulated else ", a virtual machine" if facts.get("virtual_machine") else ""
        threads = f"{result.threads} thread{'' if result.threads == 1 else 's'}"
        lines.append(
            f"- **{safe(device)}**: {safe(', '.join(known) or 'unknown')}{kind}; {safe(', '.join(engines))}, {threads}"
        )
    return "\n".join(lines)


def _data(report: Report) -> str:
    counts: Mapping[str, Any] = report.about.get("records") or {}
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"Test data: {safe(_test_data(report))}." + (f" Records: {told}." if told else "")


def _lineage(report: Report) -> str:
    lines = []
    for step in report.lineage:
        made = f" from {safe(step.parent)}" if step.parent else ""
        metric = NOTHING if step.metric is None else percent(step.metric)
        lines.append(f"- {step.role} **{safe(step.name)}**{made}: {metric}, SHA-256 `{step.id}`")
    return "\n".join(lines)


def _limits(report: Report, artifacts: Sequence[Result]) -> str:
    return "\n".join(f"- {line}" for line in _limit_lines(report, artifacts))


def _limit_lines(report: Report, artifacts: Sequence[Result]) -> Iterator[str]:
    yield "The metric holds for texts like those of the test data; other language, topic or length was not tried."
    drops = [result.drop for result in artifacts if result.drop is not None]
    if drops:
        yield f"The artifacts lose up to {max(0.0, *drops):.2f} points to the teacher, and inherit its errors."
    yield "Which groups of people or kinds of text they serve worse was not examined."
    if any(result.emulated for result in artifacts):
        yield "On emulated devices the answers were checked, and no time was measured."
    if any(not result.valid for result in artifacts):
        yield "Some times are invalid, since the machine was throttled, drifting or busy: they are not to be relied on."
    for failure in report.failures:
        yield f"Nothing was measured on {safe(failure.device)}: {safe(failure.message)}."
    if _licence(report) == "unknown":
        yield "The teacher's licence is not known: find it out before passing the artifacts on."


def _use(name: str) -> str:
    return f'```python\nimport edgebert\n\nmodel = edgebert.load("artifacts/{name}")\nmodel.predict("…")\n```'


def _licence(report: Report) -> str:
    return str(report.about.get("licence") or "unknown")


def _test_data(report: Report) -> str:
    data = report.recipe.get("data") or {}
    split = data.get("test") if isinstance(data, Mapping) else None
    path = split.get("path") if isinstance(split, Mapping) else None
    return str(path).rpartition("/")[2] if path else "the test split of the recipe"
