"""Arguments in; exit code and the exact two lines out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgebert.cli import main

RECIPE = """task: text-classification
teacher: {scratch: {}}
data: {train: {path: train.jsonl}, test: {path: test.jsonl}}
"""


def edgebert(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message", "fix"),
    [
        (["run", "none.yaml"], 2, "none.yaml: no such file", "edgebert init"),
        (["run", "good.yaml", "--until", "tomorrow"], 2, "there is no stage 'tomorrow'", "one of: teacher, student"),
        (["init", "text-clasification"], 2, "no recipe for the task", "did you mean 'text-classification'?"),
        (["predict", "nowhere", "hello"], 4, "no artifact: nowhere does not exist", "give a folder that edgebert made"),
        (["verify", "."], 4, "no artifact: . has no manifest.json", "give a folder that edgebert made"),
        (["check", "nowhere", "--data", "x.csv"], 4, "no artifact: nowhere does not exist", "give a folder"),
        (["report", "nowhere"], 2, "no report: nowhere does not exist", "give the folder of a finished run"),
        (["bench", "a", "--lengths", "16,abc"], 2, "--lengths '16,abc' is not a list", "such as --lengths 16,32"),
        (["bench", "a", "--threads", "0"], 2, "--threads '0' is not a list", "such as --threads 1,2"),
        (["predict", "a", "b", "--threads", "0"], 2, "--threads '0' is neither a positive", "--threads auto"),
        (["predict", "a", "b", "--threads", "1,2"], 2, "--threads '1,2' is neither a positive", "--threads auto"),
        (["doctor", "ssh:-oX=y"], 2, "does not name a host", "use ssh:HOST"),
        (["doctor", "sssh:pi4"], 2, "'sssh' is not one of the devices", "did you mean 'ssh'?"),
        (["doctor", "local:/no/python"], 3, "there is no such Python interpreter", "give the path of one"),
        (
            ["export", "nowhere", "--format", "onnx", "--precision", "int8", "-o", "out"],
            2,
            "the teacher 'nowhere'",
            "correct the path",
        ),
    ],
)  # fmt: skip
def test_errors(
    arguments: list[str], code: int, message: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "good.yaml").write_text(RECIPE)
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text('{"text": "a", "label": "b"}\n')
    before = sorted(tmp_path.rglob("*"))
    exit_code, shown = edgebert(*arguments)
    first, second = shown.rstrip("\n").split("\n")
    assert exit_code == code
    assert first.startswith("error: ") and message in first
    assert second.startswith("  fix: ") and fix in second
    assert sorted(tmp_path.rglob("*")) == before, "nothing may be left behind"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--debug", "verify", str(tmp_path / "none")])
    assert done.exit_code == 4 and "Traceback" in done.stderr


def test_a_bug_of_ours_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgebert.doctor.list_devices", lambda: 1 / 0)
    code, shown = edgebert("devices")
    assert code == 70
    assert "this is a bug in edgebert" in shown and "please report it" in shown and "Traceback" not in shown


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgebert.doctor.list_devices", interrupt)
    assert edgebert("devices")[0] == 130


def test_unknown_options_and_verbs_are_usage_errors() -> None:
    assert edgebert("run")[0] == 2
    assert edgebert("predict", "--jsn", "a")[0] == 2
    assert edgebert("compress")[0] == 2


def test_stdin_that_is_no_text(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgebert", "predict", str(tmp_path)], input=b"\xff", capture_output=True
    )
    assert done.returncode == 4  # no artifact: said before stdin is read
