"""The converter of CLINC150: its splits, and the real file where it is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_tasks import SINGLE

from edgebert.data import labels_of, read_records

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("EDGEBERT_SHARED", ROOT.parent / "shared"))
CLINC150 = SHARED / "data" / "clinc150" / "data_full.json"
COLUMNS = {"text": "text", "label": "intent"}
SMALL = {
    "train": [["wie geht's? ☃", "greet"], ["bye", "leave"]], "val": [["hi", "greet"]], "test": [["ciao", "leave"]],
    "oos_train": [["what is art", "oos"]], "oos_val": [["why", "oos"]], "oos_test": [["who", "oos"]],
}  # fmt: skip


def convert(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "convert_clinc150.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(folder: Path) -> dict[str, list[tuple[str, str]]]:
    return {
        path.stem: [(record["text"], record["label"]) for record in read_records(path, COLUMNS)]
        for path in sorted(folder.iterdir())
    }


def test_in_scope_by_default(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps(SMALL))
    done = convert(tmp_path / "data.json", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{tmp_path / 'out' / 'train'}.jsonl  2 rows"
    assert rows(tmp_path / "out") == {
        "train": [("wie geht's? ☃", "greet"), ("bye", "leave")],
        "validation": [("hi", "greet")],
        "test": [("ciao", "leave")],
    }


def test_out_of_scope_rows_follow(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text(json.dumps(SMALL))
    assert convert(tmp_path / "data.json", tmp_path / "out", "--out-of-scope").returncode == 0
    assert rows(tmp_path / "out")["test"] == [("ciao", "leave"), ("who", "oos")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"train": []}', "no list 'train'"),
        (json.dumps(SMALL | {"test": [["hi"]]}), "test[0] is not [text, intent]"),
    ],
)
def test_what_is_not_clinc150(content: str | None, message: str, tmp_path: Path) -> None:
    source = tmp_path / "data.json"
    if content is not None:
        source.write_text(content)
    done = convert(source, tmp_path / "out")
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[0] and done.stderr.splitlines()[1].startswith("hint: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not CLINC150.is_file(), reason=f"the real CLINC150 is not at {CLINC150}")
def test_the_real_one(tmp_path: Path) -> None:
    assert convert(CLINC150, tmp_path).returncode == 0
    found = {path.stem: list(read_records(path, COLUMNS)) for path in tmp_path.iterdir()}
    assert {name: len(split) for name, split in found.items()} == {"train": 15_000, "validation": 3_000, "test": 4_500}
    assert len(labels_of(found["train"], SINGLE)) == 150
    assert (
        labels_of(found["train"], SINGLE) == labels_of(found["test"], SINGLE) == labels_of(found["validation"], SINGLE)
    )
