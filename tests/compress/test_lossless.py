"""Vocabulary pruning on a real teacher: lossless on its corpus, and nothing unknown outside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from told import Told

from edgebert.compress.folder import load_model, tokenizer_json
from edgebert.compress.student import build_student
from edgebert.compress.vocabulary import all_pieces, id_map
from edgebert.recipe import StudentSpec
from edgebert.teacher import inspect
from edgebert.tokenization import load_tokenizer

#: Of scripts, signs and words that the corpus has nothing of.
STRANGE = [
    "Ångström naïve façade",
    "漢字 かな ไทย",
    "½ € § ¿qué? 🙂 ﬁ",
    "\u0000\u200b a\u0301b",
    "x" * 300,
    "zyzzyva-quokka",
]


@pytest.mark.slow
def test_pruned_to_clinc150(shared: Path, tmp_path: Path) -> None:
    """All layers kept: where the pieces are, ids map one to one and the logits are the teacher's to 1e-6."""
    data = json.loads((shared / "data" / "clinc150" / "data_full.json").read_text("utf-8"))
    corpus, unseen = [text for text, _ in data["train"]], [text for text, _ in data["test"][::20]]
    teacher = inspect(shared / "models" / "minilm-clinc150", name="minilm")
    progress = Told()
    student = build_student(
        teacher, StudentSpec(layers=None), texts=corpus, unseen=unseen, max_length=64, out=tmp_path / "s",
        progress=progress,
    )  # fmt: skip
    table = id_map(all_pieces(tokenizer_json(student.path)), all_pieces(tokenizer_json(teacher.path)))
    assert len(set(table.tolist())) == len(table) < teacher.vocabulary
    ours, theirs = load_tokenizer(student.path), load_tokenizer(teacher.path)

    def same(text: str) -> bool:
        return table[ours.encode(text).ids].tolist() == theirs.encode(text).ids

    assert all(same(text) for text in corpus)
    kept = [text for text in unseen if same(text)]
    share = 1.0 - len(kept) / len(unseen)
    assert 0.0 < share < 0.3
    assert progress.lines == [
        f"student: {len(table):,} word pieces; 0.0% of the texts are split otherwise, "
        f"and {share:.1%} of those that it never saw"
    ]
    for text in (*unseen, *STRANGE):
        assert ours.encode(text).tokens.count("[UNK]") == theirs.encode(text).tokens.count("[UNK]"), text
    before, after = load_model(teacher.path), load_model(student.path)
    for text in (*corpus[::500], *kept[::8]):
        with torch.inference_mode():
            expected = before(input_ids=torch.tensor([theirs.encode(text).ids])).logits
            found = after(input_ids=torch.tensor([ours.encode(text).ids])).logits
        assert np.abs((found - expected).numpy()).max() < 1e-6, text
    with torch.inference_mode():
        for text in STRANGE:
            assert torch.isfinite(after(input_ids=torch.tensor([ours.encode(text).ids[:64]])).logits).all()
