"""Several runs in one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgebert.errors import UsageError
from edgebert.gate import overall
from edgebert.report.model import SCHEMA_VERSION, LineageStep, Report, Result, best_of
from edgebert.report.verdicts import comparisons


def compare(reports: Sequence[Report], names: Sequence[str] = ()) -> Report:
    """One report of several runs: every result and lineage step is renamed to `RUN/NAME`.

    Each later run's latencies are held against the first run's (`comparisons`). Verdicts of gates stay as each run's
    own gates gave them. The run is also noted as the fact `run` of each result, so that a result is compared with the
    teacher of its own run.

    Args:
        reports: at least one; a single one is given back as it is.
        names: of the runs, all different; `run 1`, `run 2` … when left out.

    Raises:
        UsageError: no reports, reports of different tasks, or names that do not fit.
    """
    names = names or [f"run {index}" for index in range(1, len(reports) + 1)]
    if not reports:
        raise UsageError("no report to compare", "give the folder of at least one finished run")
    if len(names) != len(reports) or len(set(names)) != len(names):
        raise UsageError(f"{len(reports)} runs need as many different names", f"these were given: {', '.join(names)}")
    if tasks := sorted({report.task for report in reports} - {reports[0].task}):
        raise UsageError(
            f"the runs are of different tasks: {reports[0].task} and {', '.join(tasks)}",
            "compare runs of one task: their metrics differ in kind",
        )
    if len(reports) == 1:
        return reports[0]
    pairs = list(zip(names, reports, strict=True))
    results = tuple(_renamed(result, name) for name, report in pairs for result in report.results)
    same_gates = all(report.gates == reports[0].gates for report in reports)
    failures = tuple(
        replace(failure, device=f"{name}/{failure.device}") for name, report in pairs for failure in report.failures
    )
    verdict = overall(results)
    notes = [] if same_gates else ["The runs have different gates; each verdict is of the run's own."]
    return Report(
        schema_version=SCHEMA_VERSION,
        edgebert=reports[0].edgebert,
        recipe={name: report.recipe for name, report in pairs},
        task=reports[0].task,
        results=results,
        gates=reports[0].gates if same_gates else {},
        verdict="unknown" if failures and verdict == "pass" else verdict,
        notes=(*notes, *(f"{name}: {note}" for name, report in pairs for note in report.notes)),
        lineage=tuple(_step(step, name) for name, report in pairs for step in report.lineage),
        best=best_of(results),
        comparisons=comparisons(pairs),
        failures=failures,
    )


def _renamed(result: Result, run: str) -> Result:
    return replace(result, name=f"{run}/{result.name}", facts={"run": run, **result.facts})


def _step(step: LineageStep, run: str) -> LineageStep:
    parent = None if step.parent is None else f"{run}/{step.parent}"
    return replace(step, name=f"{run}/{step.name}", parent=parent)
