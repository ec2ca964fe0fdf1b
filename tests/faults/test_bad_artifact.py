"""Damaged artifacts and texts that cannot be answered, from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgebert import artifact as artifacts
from edgebert.artifact import Artifact
from edgebert.cli import main


@pytest.fixture
def copied(tiny_artifact: Artifact, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_artifact.path, tmp_path / "artifact"))


def refused(code: int, message: str, *arguments: str, stdin: bytes | None = None) -> None:
    done = CliRunner().invoke(main, arguments, input=stdin)
    assert done.exit_code == code, done.output
    assert "error: " in done.stderr and message in done.stderr, done.stderr
    assert "\n  fix: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", [["verify"], ["predict"], ["bench"]])
def test_truncated_artifact(copied: Path, verb: list[str]) -> None:
    model = copied / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    refused(4, "model.onnx is damaged", *verb, str(copied))


def test_wrong_format_version(copied: Path) -> None:
    path = copied / "manifest.json"
    body = json.loads(path.read_text("utf-8")) | {"format_version": 99}
    path.write_text(json.dumps(body), "utf-8")
    refused(4, "format version 99; this edgebert reads versions 1 and 2", "verify", str(copied))


def test_golden_answers_that_differ(copied: Path) -> None:
    """As when an engine computes something else: the golden answers are changed, and everything signed anew."""
    golden = json.loads((copied / "golden.json").read_text("utf-8"))
    golden["outputs"] = {name: [[-v for v in row] for row in rows] for name, rows in golden["outputs"].items()}
    (copied / "golden.json").write_text(json.dumps(golden), "utf-8")
    manifest = artifacts._parse(copied / "manifest.json")
    artifacts.save(copied, manifest, copied.with_name("signed"))
    refused(4, "golden answers differ", "verify", str(copied.with_name("signed")))
    data = copied.with_name("data.jsonl")
    data.write_text('{"text": "light", "label": "lights"}\n')
    refused(4, "answers otherwise here", "check", str(copied.with_name("signed")), "--data", str(data))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), (" \t", "is empty"), ("a\ud83d", "lone surrogate"), ("a" * 4_000_001, "cut")],
)
def test_texts_that_cannot_be_answered(copied: Path, text: str, message: str) -> None:
    refused(2, message, "predict", str(copied), text)


def test_a_text_of_a_megabyte_is_answered_and_says_that_it_was_cut(copied: Path) -> None:
    done = CliRunner().invoke(main, ["predict", "--json", str(copied), "light " * 170_000])
    assert done.exit_code == 0 and json.loads(done.stdout)["truncated"] is True


def test_stdin_with_bytes_that_are_no_text(copied: Path) -> None:
    refused(2, "stdin, line 2: not UTF-8", "predict", str(copied), stdin=b"light\n\xff\xfe\n")


def test_labels_that_the_artifact_does_not_know(copied: Path) -> None:
    data = copied.with_name("data.csv")
    data.write_text("text,label\nlight,lights\nsong,musik\n")
    refused(2, "musik", "check", str(copied), "--data", str(data))
