"""Golden answers: what an artifact answered where it was made, asked again wherever it is to run.

A runtime that loads an artifact may still compute something else: tflite-runtime 2.14 answers per-channel
models wrongly without an error, x86 processors without VNNI saturate 16-bit sums, default precision hints
turn FP32 into BF16. So each artifact carries about 16 texts with their token ids and outputs, and nothing is
measured on a device before they were found again there. The rule, also written into the file:

- token ids must be equal;
- every output must be within the tolerance: a share of the outputs' spread that depends on format and
  precision (`TOLERANCE`), never more than a tenth;
- what a window's outputs decide (the largest of them, for most tasks) must be the same wherever its margin is
  larger than the tolerance.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgebert import tasks
from edgebert.artifact import GOLDEN, Artifact
from edgebert.errors import ArtifactError
from edgebert.protocols import Runtime, TensorSpec
from edgebert.tasks import Encoded, Outputs, Record, Task
from edgebert.tensors import tensors
from edgebert.tokenization import load_tokenizer

TEXTS = 16
RULE = "token ids equal; |output - expected| <= tolerance; same largest output where its margin > tolerance"

#: Share of the outputs' spread (their standard deviation within a text) that another engine version, thread
#: count or instruction set may add. FP32 differs by rounding alone; INT8 by activations that fall on the other
#: side of a quantization step.
CAP = 0.1
TOLERANCE = {"fp32": 0.005, "fp16": 0.05}  # any other: CAP


@dataclass(frozen=True)
class GoldenCheck:
    """What came of asking the golden texts again.

    Args:
        ok: whether the rule holds.
        max_error: the largest difference of an output.
        tolerance: the largest that is allowed.
        details: what was wrong, in words; empty when nothing was.
    """

    ok: bool
    max_error: float
    tolerance: float
    details: str = ""


def run(
    windows: Sequence[Encoded],
    runtime: Runtime,
    inputs: Sequence[TensorSpec],
    lengths: Sequence[int],
    outputs: Sequence[TensorSpec],
) -> list[dict[str, NDArray[np.float32]]]:
    """The runtime's outputs for each window, one at a time, without batch axis and padding."""
    names = [spec.name for spec in inputs]
    found = []
    for window in windows:
        rows = runtime.run(tensors(window, names, lengths))
        used = len(window.input_ids)
        found.append({o.name: rows[o.name][0, :used] if o.per_token else rows[o.name][0] for o in outputs})
    return found


def spread(outputs: Sequence[Outputs]) -> float:
    """The standard deviation of the outputs within a window, averaged over windows and outputs.

    One output alone (a regression) has none within a window: it is then that between the windows.
    """
    arrays = [array.astype(np.float64) for window in outputs for array in window.values()]
    if all(array.size == 1 for array in arrays):
        return float(np.std(np.concatenate([array.ravel() for array in arrays])))
    return float(np.mean([array.std(axis=-1).mean() for array in arrays]))


def make(
    folder: Path,
    *,
    task: Task,
    precision: str,
    engine: str,
    records: Sequence[Record],
    windows: Sequence[Sequence[Encoded]],
    outputs: Sequence[Sequence[Outputs]],
) -> None:
    """Write `golden.json` into an artifact's folder.

    Args:
        folder: the artifact to be.
        task: of the artifact.
        precision: of the artifact; decides the tolerance.
        engine: that gave the outputs, name and version.
        records: about 16 of them.
        windows: of each record.
        outputs: of each window of each record.
    """
    every = [found for record in outputs for found in record]
    size = spread(every)
    body: dict[str, Any] = {
        "rule": RULE,
        "engine": engine,
        "spread": round(size, 6),
        "tolerance": round(min(TOLERANCE.get(precision, CAP), CAP) * size, 6),
        "texts": [_inputs_of(task, record) for record in records],
        "input_ids": [window.input_ids for record in windows for window in record],
        "outputs": {name: [np.round(w[name].astype(np.float64), 6).tolist() for w in every] for name in task.outputs},
    }
    if any(len(record) != 1 for record in windows):
        body["windows"] = [len(record) for record in windows]
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    (folder / GOLDEN).write_text(text + "\n", encoding="utf-8")


def records_of(artifact: Artifact) -> list[Record]:
    """The records of an artifact's golden answers."""
    return [{"text": text} if isinstance(text, str) else text for text in artifact.golden()["texts"]]


def check(artifact: Artifact, runtime: Runtime) -> GoldenCheck:
    """Ask the golden texts again.

    Args:
        artifact: whose `golden.json` is read.
        runtime: the artifact, loaded.

    Raises:
        ArtifactError: `golden.json` is malformed, or the runtime fails.
    """
    manifest = artifact.manifest
    try:
        golden = artifact.golden()
        task = tasks.get(manifest.task, manifest.task_settings)
        tolerance = float(golden["tolerance"])
        ids = [list(row) for row in golden["input_ids"]]
        expected = [
            {name: np.array(golden["outputs"][name][number], dtype=np.float32) for name in task.outputs}
            for number in range(len(ids))
        ]
        records = records_of(artifact)
        counts = golden.get("windows", [1] * len(records))
        if not records or len(records) != len(counts) or sum(counts) != len(ids):
            raise ValueError("its texts, token ids and outputs differ in number")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{artifact.path}: {GOLDEN} is malformed: {error}", "copy or export the artifact again"
        ) from error
    tokenizer = load_tokenizer(artifact.path, None if task.windowed else manifest.max_length)
    windows = [window for record in records for window in task.encode(tokenizer, record, manifest.max_length)]
    if [window.input_ids for window in windows] != ids:
        pairs = enumerate(zip(windows, ids, strict=False))
        number = next((n for n, (window, row) in pairs if window.input_ids != row), min(len(windows), len(ids)))
        return GoldenCheck(False, float("inf"), tolerance, f"text {number} has other token ids")
    found = run(windows, runtime, manifest.inputs, manifest.lengths, manifest.outputs)
    return _compare(task, expected, found, tolerance)


def _compare(task: Task, expected: Sequence[Outputs], found: Sequence[Outputs], tolerance: float) -> GoldenCheck:
    wrong: list[str] = []
    worst, flips, decided = dict.fromkeys(task.outputs, 0.0), 0, 0
    for there, here in zip(expected, found, strict=True):
        for name, array in there.items():
            if here[name].shape != array.shape or not np.isfinite(here[name]).all():
                return GoldenCheck(False, float("inf"), tolerance, f"{name} is misshapen or not finite")
            error = float(np.abs(here[name].astype(np.float64) - array).max(initial=0.0))
            worst[name] = max(worst[name], error)
        before = task.decide(there)
        clear = before.margins > tolerance
        decided += int(clear.sum())
        flips += int((clear & (task.decide(here).chosen != before.chosen)).sum())
    for name, error in worst.items():
        if error > tolerance:
            wrong.append(f"{name} is off by {error:.3g} where {tolerance:.3g} is allowed")
    if flips:
        wrong.append(f"{flips} of {decided} clear answers changed")
    return GoldenCheck(not wrong, max(worst.values()), tolerance, "; ".join(wrong))


def _inputs_of(task: Task, record: Record) -> Any:
    """What a model reads of a record: a text alone, or a mapping."""
    wanted = ("tokens",) if "tokens" in record else task.roles
    read = {role: record[role] for role in wanted}
    return read["text"] if set(read) == {"text"} else read
