"""Accuracy-aware fallback: what INT8 loses too much of goes back to float, worst first.

The first export quantizes all that the precision can. Where it is within the limits of `parity.py`, that is all.
Otherwise the sensitivity of each operator group is measured: the group is quantized alone, by the same tools and
in the same engine, and its outputs are compared with the FP32 source's. Then the export is made again with the
worst group in float, with the two worst, and so on, until it is within the limits. With more than half of the
groups in float it would be INT8 in name only, so that it is refused instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from edgebert.errors import ExportError

from . import parity, trial
from .trial import Setting, Trial

#: The largest share of the operator groups that may go back to float.
MOST_FLOAT = 0.5

#: Texts that each group's sensitivity is measured on.
TEXTS = 64


def settle(given: Setting, *, fallback: bool, sensitivity: bool) -> tuple[Trial, dict[str, Any]]:
    """The first trial within the limits, its model in the job's folder, and what to say of it in its lineage.

    Args:
        given: the job.
        fallback: whether groups may go back to float.
        sensitivity: measure it even where nothing has to.

    Returns:
        The trial, and its figures; with `sensitivity` and `fallback` where there are any.

    Raises:
        ExportError: the conversion failed, or the limits are out of reach.
    """
    found = trial.attempt(given)
    if sensitivity and not found.groups:
        raise ExportError(f"{found.manifest.name} has no operator group to be sensitive in", "leave --sensitivity out")
    most = int(MOST_FLOAT * len(found.groups)) if fallback and found.faults else 0
    table = measure(given, found.groups) if sensitivity or most else []
    worst = [row["group"] for row in table][:most]
    tried = [_row(found, [])]
    first = found
    for count in range(1, len(worst) + 1):
        found = trial.attempt(given, worst[:count])
        tried.append(_row(found, worst[:count]))
        if not found.faults:
            break
    if found.faults:
        raise parity.refused(given.job, first.figures, first.faults, _in_words(tried[1:], len(found.groups)))
    told: dict[str, Any] = {"sensitivity": table} if table else {}
    if len(tried) > 1:
        limits = parity.limits_of(given.job.precision)
        budget = {"max_error": limits.max_error, "mean_error": limits.mean_error, "clear_agreement": limits.agreement}
        told["fallback"] = {"float": tried[-1]["float"], "budget": budget, "tried": tried}
    return found, {**found.figures, **told}


def measure(given: Setting, groups: Sequence[str]) -> list[dict[str, Any]]:
    """The errors of the outputs when one group alone is quantized, worst first: `group`, `mean_error`, `max_error`.

    Errors are in units of the outputs, None where they are not finite.
    """
    rows = []
    for group in groups:
        errors = trial.errors(given, [other for other in groups if other != group], TEXTS)
        rows.append({"group": group, **{name: _finite(errors[name]) for name in ("mean_error", "max_error")}})
        print(f"sensitivity of {group}: mean error {rows[-1]['mean_error']}, largest {rows[-1]['max_error']}")
    return sorted(rows, key=_harm, reverse=True)


def _row(found: Trial, floats: Sequence[str]) -> dict[str, Any]:
    figures = {name: _finite(found.figures[name]) for name in ("mean_error", "max_error", "clear_agreement")}
    print(f"in float: {', '.join(floats) or 'nothing'}: {figures}, {'; '.join(found.faults) or 'within the limits'}")
    return {"float": list(floats), **figures}


def _in_words(tried: Sequence[Mapping[str, Any]], groups: int) -> str:
    if not tried:
        return ""
    steps = "; ".join(f"with {row['float'][-1]} mean error {_number(row['mean_error'])}" for row in tried)
    return f"Going back to float, worst first, did not mend it ({len(tried)} of {groups} groups): {steps}"


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.3g}"


def _harm(row: Mapping[str, Any]) -> float:
    return math.inf if row["mean_error"] is None else float(row["mean_error"])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
