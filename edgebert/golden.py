"""Golden answers: what an artifact answered where it was made, asked again wherever it is to run.

A runtime that loads an artifact may still compute something else: tflite-runtime 2.14 answers per-channel
models wrongly without an error, x86 processors without VNNI saturate 16-bit sums, default precision hints
turn FP32 into BF16. So each artifact carries about 16 texts with their token ids and outputs, and nothing is
measured on a device before they were found again there. The rule, also written into the file:

- token ids must be equal;
- every output must be within the tolerance: a share of the outputs' spread that depends on format and
  precision (`TOLERANCE`), never more than a tenth;
- the answer (largest output) must be the same wherever its margin is larger than the tolerance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgebert import tasks
from edgebert.artifact import GOLDEN, Artifact
from edgebert.errors import ArtifactError
from edgebert.protocols import Runtime, TensorSpec
from edgebert.tasks import Encoded, Record

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Outputs = dict[str, NDArray[np.float32]]

TEXTS = 16
RULE = "token ids equal; |output - expected| <= tolerance; same largest output where its margin > tolerance"

#: Share of the outputs' spread (their standard deviation within a text) that another engine version, thread
#: count or instruction set may add. FP32 differs by rounding alone; INT8 by activations that fall on the other
#: side of a quantization step.
CAP = 0.1
TOLERANCE = {"fp32": 0.005, "int8": CAP, "int8-legacy": CAP}


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


def tensors(encoded: Encoded, inputs: Sequence[TensorSpec], lengths: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    """One text's int64 inputs [1, length], padded to the smallest of `lengths` (if any) that holds it."""
    used = len(encoded.input_ids)
    length = next((length for length in lengths if length >= used), used)
    rows = {
        "input_ids": encoded.input_ids,
        "attention_mask": [1] * used,
        "token_type_ids": encoded.token_type_ids,
    }
    filled = {}
    for spec in inputs:
        array = np.zeros((1, length), dtype=np.int64)
        array[0, :used] = rows[spec.name]
        filled[spec.name] = array
    return filled


def answers(
    encoded: Sequence[Encoded], runtime: Runtime, inputs: Sequence[TensorSpec], lengths: Sequence[int]
) -> Outputs:
    """The runtime's outputs for each text, one at a time: float32 [texts, ...] by name."""
    rows = [runtime.run(tensors(item, inputs, lengths)) for item in encoded]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def spread(outputs: Mapping[str, NDArray[np.float32]]) -> float:
    """The standard deviation of the outputs within a text, averaged over the texts (and outputs)."""
    return float(np.mean([array.astype(np.float64).std(axis=-1).mean() for array in outputs.values()]))


def margins(array: NDArray[np.float32]) -> NDArray[np.float64]:
    """Largest minus second largest along the last axis; infinite where there is but one."""
    if array.shape[-1] < 2:
        return np.full(array.shape[:-1], np.inf)
    top = np.sort(array.astype(np.float64), axis=-1)
    margin: NDArray[np.float64] = top[..., -1] - top[..., -2]
    return margin


def make(
    folder: Path,
    *,
    task: str,
    precision: str,
    engine: str,
    records: Sequence[Record],
    encoded: Sequence[Encoded],
    outputs: Mapping[str, NDArray[np.float32]],
) -> None:
    """Write `golden.json` into an artifact's folder.

    Args:
        folder: the artifact to be.
        task: a name of the task registry.
        precision: of the artifact; decides the tolerance.
        engine: that gave the outputs, name and version.
        records: about 16 of them.
        encoded: their token ids.
        outputs: float32 [records, ...] by name.
    """
    roles = tasks.get(task).roles
    texts = [record[roles[0]] if len(roles) == 1 else [record[role] for role in roles] for record in records]
    size = spread(outputs)
    body = {
        "rule": RULE,
        "engine": engine,
        "spread": round(size, 6),
        "tolerance": round(min(TOLERANCE.get(precision, CAP), CAP) * size, 6),
        "texts": texts,
        "input_ids": [item.input_ids for item in encoded],
        "outputs": {name: np.round(array.astype(np.float64), 6).tolist() for name, array in sorted(outputs.items())},
    }
    text = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    (folder / GOLDEN).write_text(text + "\n", encoding="utf-8")


def check(artifact: Artifact, runtime: Runtime, tokenizer: Tokenizer) -> GoldenCheck:
    """Ask the golden texts again.

    Args:
        artifact: whose `golden.json` is read.
        runtime: the artifact, loaded.
        tokenizer: the artifact's own, truncating at its `max_length`.

    Raises:
        ArtifactError: `golden.json` is malformed, or the runtime fails.
    """
    try:
        golden = artifact.golden()
        task = tasks.get(artifact.manifest.task)
        tolerance = float(golden["tolerance"])
        expected = {name: np.array(rows, dtype=np.float32) for name, rows in golden["outputs"].items()}
        records = [
            dict(zip(task.roles, [text] if isinstance(text, str) else text, strict=True)) for text in golden["texts"]
        ]
        ids = [list(row) for row in golden["input_ids"]]
        if not records or not len(records) == len(ids) == min(map(len, expected.values())):
            raise ValueError("its texts, token ids and outputs differ in number")
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{artifact.path}: {GOLDEN} is malformed: {error}", "copy or export the artifact again"
        ) from error
    encoded = task.encode(tokenizer, records)
    for number, (item, row) in enumerate(zip(encoded, ids, strict=True)):
        if item.input_ids != row:
            return GoldenCheck(False, float("inf"), tolerance, f"text {number} has other token ids")
    found = answers(encoded, runtime, artifact.manifest.inputs, artifact.manifest.lengths)
    return _compare(expected, found, tolerance)


def _compare(expected: Outputs, found: Outputs, tolerance: float) -> GoldenCheck:
    wrong: list[str] = []
    worst = 0.0
    for name, array in expected.items():
        if name not in found or found[name].shape != array.shape or not np.isfinite(found[name]).all():
            return GoldenCheck(False, float("inf"), tolerance, f"{name} is absent, misshapen or not finite")
        error = float(np.abs(found[name].astype(np.float64) - array).max())
        worst = max(worst, error)
        if error > tolerance:
            wrong.append(f"{name} is off by {error:.3g} where {tolerance:.3g} is allowed")
        clear = margins(array) > tolerance
        flips = int((clear & (found[name].argmax(axis=-1) != array.argmax(axis=-1))).sum())
        if flips:
            wrong.append(f"{flips} of {int(clear.sum())} clear answers of {name} changed")
    return GoldenCheck(not wrong, worst, tolerance, "; ".join(wrong))
