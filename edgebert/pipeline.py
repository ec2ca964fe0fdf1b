"""The flow: recipe ─► teacher ─► student ─► artifacts ─► device runs ─► report.

`run` is the whole of it. Each stage is skipped when its result is there (see `edgebert.stages`), so that a run
that was ended at any point goes on where it was. Several processes may run it together until the student is there
(see `edgebert.parallel`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgebert import exporting, parallel, steps
from edgebert.check import connected
from edgebert.errors import DeviceError, UsageError
from edgebert.progress import SILENT, Progress
from edgebert.recipe import Recipe, load_recipe
from edgebert.stages import Store
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.report import Report

STAGES = ("teacher", "student", "export", "measure", "report")


def run(
    recipe: Path,
    *,
    out: Path | None = None,
    until: str = "report",
    devices: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Report | None:
    """Run a recipe, or what is left of it; None when it ends before the report.

    Args:
        recipe: its file.
        out: the folder for everything that comes out; `build/<recipe's name>` by default.
        until: the last stage to run, one of `STAGES`.
        devices: instead of the recipe's.
        progress: told how far it is.

    Raises:
        EdgebertError: whatever is wrong, with how to mend it; what was finished stays finished.
        SystemExit: in the other processes, where torchrun has started several, once they are no longer needed.
    """
    parallel.join()
    if parallel.rank() > 0:
        progress = SILENT
    if until not in STAGES:
        raise UsageError(f"there is no stage {until!r}", f"one of: {', '.join(STAGES)}")
    plan = load_recipe(recipe)
    parallel.alone(lambda: _look_for(devices or plan.devices, progress))
    with Store(out or default_out(recipe), progress) as store:
        task = steps.task_of(plan)
        _check_graphs(plan, task)
        splits = steps.read_splits(plan, task, progress)
        teacher = steps.teach(plan, task, splits, store)
        if until == "teacher":
            parallel.leave()
            return None
        student = steps.compress(plan, task, splits, teacher, store)
        parallel.leave()
        if until == "student":
            return None
        made = steps.export(plan, task, splits, teacher, student, store)
        if until == "export":
            return None
        measured, failed = steps.measure(plan, splits, made, devices or plan.devices, store)
        if until == "measure":
            return None
        return steps.report(plan, teacher, student, made, measured, failed, splits, store)


def _look_for(devices: Sequence[str], progress: Progress) -> None:
    """Tell now, not after the training, what device is not there; one of several may still come until it is needed.

    Raises:
        UsageError: there is no such kind of device.
        DeviceError: none of the devices is there.
    """
    missing = []
    for name in devices:
        try:
            with connected(name):
                pass
        except DeviceError as error:
            missing.append(error)
            if len(missing) == len(devices):
                raise missing[0] from None
            progress.say(f"warning: {error.message}; it will be tried again when it is its turn")


def _check_graphs(plan: Recipe, task: Task) -> None:
    """Tell now why there can be no tokenizer graphs. Raises UsageError or MissingExtra."""
    for name in plan.export if plan.tokenizer_in_graph else ():
        format, precision = name.split("-", 1)
        if exporting.takes_tokenizer(format, precision):
            exporting.check_tokenizer(format, precision, task)


def default_out(recipe: Path) -> Path:
    """Where a run goes when nobody says: `build/` and the recipe's name, or its folder's for `recipe.yaml`."""
    stem = recipe.resolve().parent.name if recipe.stem == "recipe" else recipe.stem
    return Path("build") / stem
