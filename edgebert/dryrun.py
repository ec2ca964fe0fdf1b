"""`edgebert run --dry-run`: what a run would do and what it would cost, from the recipe and the data alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from edgebert import steps, teacher
from edgebert.pipeline import default_out
from edgebert.recipe import FineTuneSpec, Recipe, load_recipe
from edgebert.tasks import texts_of

#: What training reaches on one core with short texts, in floating-point operations a second. Estimates only.
_FLOPS = 60e9
_EXPORT_SECONDS = {"onnx": 15, "openvino": 30, "tflite": 45, "torch": 12}
_LAUNCH_SECONDS = 3


def dry_run(path: Path, out: Path | None, devices: Sequence[str]) -> str:
    """The stages in words, with numbers of examples, steps, exports and launches, and rough minutes.

    Raises:
        EdgebertError: the recipe, the data or the teacher cannot be used, as in a real run.
    """
    recipe = load_recipe(path)
    task = steps.task_of(recipe)
    splits = steps.read_splits(recipe, task)
    target = out or default_out(path)
    spec = recipe.teacher
    lines = [
        f"recipe   {path}",
        f"output   {target}"
        + ("  (a run is there: what is done will be kept)" if (target / ".edgebert").is_dir() else ""),
        f"data     {len(splits.train):,} train, {len(splits.validation):,} validation, {len(splits.test):,} test",
    ]
    seconds = {}
    if isinstance(spec, FineTuneSpec):
        shape = f"from {spec.base}" if spec.base else f"from scratch, {spec.scratch}"
        lines.append(f"teacher  fine-tuned {shape}: {_steps(len(splits.train), spec.epochs, spec.batch_size)}")
        encoder = _encoder_parameters(recipe)
    else:
        folder = teacher.resolve(spec, recipe.folder)
        found = teacher.inspect(folder, name=Path(spec).name, task=task, labels=recipe.labels)
        steps.check_splits(recipe, task, splits, found.labels)
        lines.append(
            f"teacher  {found.name}: {found.layers} layers of {found.hidden_size}, {found.parameters:,} weights"
        )
        encoder = 12 * found.layers * found.hidden_size**2
    distill = recipe.distill
    epochs, examples = distill.epochs + distill.layerwise_epochs, len(splits.train) + len(splits.unlabelled)
    tokens = sum(len(text.split()) for record in splits.train[:500] for text in texts_of(record))
    tokens_each = 2 + 1.4 * tokens / min(500, len(splits.train))
    if isinstance(spec, FineTuneSpec):
        seconds["teacher"] = 6.0 * encoder * tokens_each * len(splits.train) * spec.epochs / _FLOPS
    lines.append(
        f"student  layers: {recipe.student.layers}, vocabulary: {recipe.student.vocabulary}; distilled: "
        + _steps(examples, epochs, distill.batch_size)
    )
    if distill.augment is not None:
        asked = teacher.resolve(recipe.masked_lm, recipe.folder) if recipe.masked_lm else None
        told = f"words from {teacher.check_body(asked, asked.name).name}" if asked else "words from the teacher's body"
        shares = {name: getattr(distill.augment, name) for name in ("words", "typos", "pieces")}
        parts = [f"{name} {share:.0%}" for name, share in shares.items() if share]
        lines.append(f"texts    changed: {', '.join(parts)}" + (f"; {told}" if distill.augment.words else ""))
    seconds["student"] = (2.0 + 3.0) * encoder * tokens_each * examples * epochs / _FLOPS
    if recipe.qat is not None:
        lines.append(f"qat      {recipe.qat.steps:,} steps more, rounded to INT8, {distill.batch_size} texts each")
        seconds["qat"] = (2.0 + 5.0) * encoder * tokens_each * distill.batch_size * recipe.qat.steps / _FLOPS
    lines.append(f"export   {', '.join(recipe.export)}; each in a process of its own")
    seconds["export"] = sum(_EXPORT_SECONDS[name.split("-")[0]] for name in (*recipe.export, "torch-t", "torch-s"))
    where = list(dict.fromkeys(devices or recipe.devices))
    launches = recipe.measure.launches * (len(recipe.export) * len(where) + 2)
    lines.append(
        f"measure  on {', '.join(where)}: {launches} launches, {recipe.measure.samples} latency samples each, "
        f"{recipe.measure.threads} thread(s); every model answers {len(splits.test):,} test texts once"
    )
    seconds["measure"] = launches * _LAUNCH_SECONDS + 0.01 * len(splits.test)
    lines.append(f"gates    {json.dumps(recipe.gates.model_dump(mode='json', exclude_none=True))}")
    lines.append(
        "cost     about "
        + ", ".join(f"{name} {max(1, round(value / 60))} min" for name, value in seconds.items())
        + " (a rough estimate for one desktop core; about 1 GB of disk)"
    )
    return "\n".join(lines)


def _steps(examples: int, epochs: float, batch: int) -> str:
    return f"{epochs} epochs of {-(-examples // batch):,} steps"


def _encoder_parameters(recipe: Recipe) -> int:
    """Weights of the encoder's matrices of a teacher that is still to be trained."""
    spec = recipe.teacher
    assert isinstance(spec, FineTuneSpec)
    if spec.scratch is not None:
        shape = spec.scratch
        return shape.layers * (4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size)
    base = teacher.resolve(str(spec.base), recipe.folder)
    config = json.loads((base / "config.json").read_text("utf-8"))
    layers = int(config.get("num_hidden_layers") or config.get("n_layers") or 12)
    width = int(config.get("hidden_size") or config.get("dim") or 768)
    return 12 * layers * width**2
