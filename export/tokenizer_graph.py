"""A tokenizer as a graph of the engine's own beside the model, for callers without `tokenizers`.

It is written last, when the model stands, and compared with the artifact's `tokenizer.json` before the artifact is
saved: ids that differ are a model that was never checked. `all` compares on thousands of hard texts and on the
user's; `data` on the user's alone, and the hard texts that differ are told in the manifest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from edgebert import exporting
from edgebert.artifact import Manifest
from edgebert.errors import ExportError
from edgebert.protocols import ExportJob
from edgebert.tasks import Task
from edgebert.tokenization import load_tokenizer

from . import calibration, hard_texts, tokenizer_onnx, tokenizer_openvino
from .tokenizer_text import read_rules

#: How many of the hard texts that differ the manifest tells word for word.
MOST_TOLD = 20

_Found = Mapping[str, list[int]]
_WRITERS = {"onnx": tokenizer_onnx, "openvino": tokenizer_openvino}


@dataclass(frozen=True)
class Difference:
    """A text (or pair) that a graph cuts otherwise.

    Args:
        texts: as they were given.
        expected: outputs by name, by the artifact's own tokenizer.
        found: the graph's; or what its engine said instead.
    """

    texts: tuple[str, ...]
    expected: _Found
    found: _Found | str


def add(job: ExportJob, task: Task, manifest: Manifest, mode: str, tuning: Path | None) -> dict[str, Any]:
    """Write the graph into the job's folder, and compare it; returns what the manifest says of it.

    Args:
        job: of the model that stands in `job.out`, with its tokenizer.
        task: with its settings.
        manifest: of that model.
        mode: `all` or `data`.
        tuning: more records as JSON lines, or None.

    Raises:
        ExportError: the tokenizer cannot be a graph, or the graph gives other ids.
        MissingExtra: the library is not installed.
    """
    library = exporting.TOKENIZER_LIBRARIES[job.format]
    named = f"{library} {metadata.version(library)}"
    rules = read_rules(job.out / "tokenizer.json")
    inputs = [spec.name for spec in manifest.inputs]
    writer = _WRITERS[job.format]
    files = writer.write(rules, inputs, pair=task.segments, max_length=manifest.max_length, folder=job.out)
    run = writer.open_graph(job.out / files[0])
    compare = partial(differences, run, job.out, task, manifest.max_length, inputs)

    own = _own_texts(job, task, tuning)
    firsts = [texts[0] for texts in own]
    own += _pairs(hard_texts.of_each_length(firsts, manifest.max_length), task)
    hard = _pairs(hard_texts.texts(rules.specials), task)
    wrong, odd = compare(own), compare(hard)
    if wrong:
        hint = "leave --tokenizer-in-graph out: callers make the ids themselves (docs/without-edgebert.md)"
        raise _refused(named, wrong, len(own), hint)
    if mode == "all" and odd:
        hint = "`data` asks for equal ids on your own texts alone, and tells the others in the manifest"
        raise _refused(named, odd, len(hard), hint)
    return {
        "files": list(files),
        "library": named,
        "checked": {"mode": mode, "own_texts": len(own), "hard_texts": len(hard), "hard_texts_that_differ": len(odd)},
        "differs": [list(difference.texts) for difference in odd[:MOST_TOLD]],
    }


def differences(
    run: Callable[[Sequence[str]], _Found],
    folder: Path,
    task: Task,
    max_length: int,
    inputs: Sequence[str],
    asked: Sequence[tuple[str, ...]],
) -> list[Difference]:
    """The texts of which a graph makes other inputs than the tokenizer of `folder`.

    Args:
        run: the graph: texts to its outputs by name, [tokens] each.
        folder: with `tokenizer.json`.
        task: whose `encode` is what holds.
        max_length: tokens after which texts are cut.
        inputs: the names of the model's inputs.
        asked: texts, as many as the task reads, each.
    """
    tokenizer = load_tokenizer(folder, max_length)
    wrong = []
    for texts in asked:
        (window,) = task.encode(tokenizer, dict(zip(task.roles, texts, strict=True)), max_length)
        made = {
            "input_ids": window.input_ids,
            "attention_mask": [1] * len(window.input_ids),
            "token_type_ids": window.token_type_ids,
        }
        expected = {name: made[name] for name in inputs}
        try:
            found: _Found | str = run(texts)
        except Exception as error:  # each engine raises its own kinds
            found = str(error).strip()[:200]
        if found != expected:
            wrong.append(Difference(texts, expected, found))
    return wrong


def _own_texts(job: ExportJob, task: Task, tuning: Path | None) -> list[tuple[str, ...]]:
    """The user's texts, each once; built-in sentences where none were given."""
    files = [path for path in (job.calibration, tuning) if path is not None]
    records = [record for path in files for record in calibration.read_records(path)]
    texts = [tuple(record[role] for role in task.roles) for record in records or calibration.parity_records(job)]
    return list(dict.fromkeys(texts))


def _pairs(texts: Sequence[str], task: Task) -> list[tuple[str, ...]]:
    """Each text alone, or, for a task that reads two, with its neighbour and with its mirror image in the list."""
    if not task.segments:
        return [(text,) for text in texts]
    return [pair for at, text in enumerate(texts) for pair in ((text, texts[at - 1]), (text, texts[-1 - at]))]


def _refused(library: str, wrong: Sequence[Difference], asked: int, hint: str) -> ExportError:
    shown = "; ".join(_shown(difference) for difference in wrong[:3])
    return ExportError(
        f"the tokenizer as a graph ({library}) gives other ids for {len(wrong):,} of {asked:,} texts: {shown}", hint
    )


def _shown(difference: Difference) -> str:
    texts = " and ".join(ascii(text[:60]) for text in difference.texts)
    if isinstance(difference.found, str):
        return f"{texts}: the engine says {difference.found!r}"
    name = next(name for name in difference.expected if difference.expected[name] != difference.found.get(name))
    expected, found = difference.expected[name], difference.found.get(name, [])
    return f"{texts}: {name} {json.dumps(expected[:24])} expected, {json.dumps(found[:24])} found"
