"""Fine-tuning: from nothing and from a body, repeatable, with a tokenizer that is the same in every process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from told import Told

from edgebert.compress.finetune import fine_tune, train_wordpiece
from edgebert.errors import DataError
from edgebert.progress import SILENT
from edgebert.recipe import FineTuneSpec
from edgebert.tasks.text_classification import TextClassification
from edgebert.teacher import Teacher
from edgebert.tokenization import load_tokenizer

Records = list[dict[str, str]]
LABELS = ("lights", "music", "weather")
SCRATCH = {"layers": 2, "hidden_size": 32, "heads": 2, "intermediate_size": 64, "vocabulary": 200}


def tune(spec: dict[str, Any], records: Records, out: Path, **more: Any) -> Teacher:
    arguments: dict[str, Any] = {"progress": SILENT, "labels": LABELS} | more
    return fine_tune(
        FineTuneSpec(**{"batch_size": 16, "lr": 2e-3} | spec),
        task=TextClassification(), train=records, validation=records, lengths=(8, 24), out=out,
        work=out.with_name(f"{out.name}-work"), threads=1, **arguments,
    )  # fmt: skip


def test_from_scratch_learns_a_separable_task(records: Records, tmp_path: Path) -> None:
    told = Told()
    teacher = tune({"scratch": SCRATCH, "epochs": 25}, records, tmp_path / "t", progress=told)
    said = next(line for line in told.lines if "validation" in line)
    assert float(said.split()[2].rstrip("%")) > 95
    assert teacher.labels == LABELS
    assert (teacher.layers, teacher.hidden_size, teacher.positions) == (2, 32, 24)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_from_scratch_twice_the_same_bytes(records: Records, tmp_path: Path) -> None:
    first = tune({"scratch": SCRATCH, "epochs": 2}, records, tmp_path / "a")
    torch.manual_seed(4711)
    second = tune({"scratch": SCRATCH, "epochs": 2}, records, tmp_path / "b")
    other = tune({"scratch": SCRATCH, "epochs": 2, "seed": 1}, records, tmp_path / "c")
    assert first.content_hash == second.content_hash
    assert first.content_hash != other.content_hash


def test_from_a_body_with_other_labels(make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path) -> None:
    body = make_teacher("distilbert", layers=2)
    renamed = [record | {"label": f"{record['label']}!"} for record in records] + [{"text": "hm", "label": "z"}]
    labels = (*(f"{label}!" for label in LABELS), "z")
    spec = {"base": body.path.name, "epochs": 12}
    told = Told()
    teacher = tune(spec, renamed, tmp_path / "t", labels=labels, body=body.path, progress=told)
    assert teacher.labels == labels
    assert teacher.model_type == "distilbert"
    assert teacher.positions == 64
    said = next(line for line in told.lines if "validation" in line)
    assert float(said.split()[2].rstrip("%")) > 80


def test_labels_of_the_data_must_be_known(records: Records, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'weather' is not one of the 2 labels"):
        tune({"scratch": SCRATCH}, records, tmp_path / "t", labels=("lights", "music"))
    assert not (tmp_path / "t").exists()


def test_a_length_that_the_body_cannot_read(
    make_teacher: Callable[..., Teacher], records: Records, tmp_path: Path
) -> None:
    body = make_teacher(max_position_embeddings=16)
    with pytest.raises(DataError, match="at most 16 tokens"):
        tune({"base": "body"}, records, tmp_path / "t", body=body.path)


def test_a_vocabulary_too_small_for_its_characters() -> None:
    with pytest.raises(DataError, match="too small for the 26 different characters"):
        train_wordpiece(["abcdefghijklmnopqrstuvwxyz"], 50)


def test_the_tokenizer_knows_its_text(records: Records, tmp_path: Path) -> None:
    tokenizer = train_wordpiece([record["text"] for record in records], 150)
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    encoding = load_tokenizer(tmp_path).encode("please LIGHTS!")
    assert encoding.tokens[0] == "[CLS]" and encoding.tokens[-1] == "[SEP]"
    assert "[UNK]" not in encoding.tokens
    assert sorted(tokenizer["model"]["vocab"].values()) == list(range(len(tokenizer["model"]["vocab"])))
    assert [token["id"] for token in tokenizer["added_tokens"]] == [0, 1, 2, 3, 4]


def test_the_tokenizer_is_the_same_in_every_process() -> None:
    """The trainer of `tokenizers` walks through hash tables that are seeded anew in each process."""
    script = (
        "import json,hashlib,random;from edgebert.compress.finetune import train_wordpiece;"
        "r=random.Random(0);w=[''.join(r.choices('abcdefghijklmnop',k=r.randint(2,9))) for _ in range(400)];"
        "t=[' '.join(r.choices(w,k=8)) for _ in range(300)];"
        "print(hashlib.sha256(json.dumps(train_wordpiece(t,400)).encode()).hexdigest())"
    )
    found = {
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        for _ in range(5)
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == hashlib.sha256().digest_size * 2
