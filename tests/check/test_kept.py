"""What a cut measurement leaves, and what the next one makes of it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from edgebert.errors import ArtifactError, DeviceError
from edgebert.kept import FORGOTTEN, Kept, keep_folder, keeping

KEY = "ab" * 32


def loaded(engine: str = "onnxruntime 1") -> dict[str, Any]:
    return {"event": "loaded", "engine": engine}


def outputs(first: int, count: int = 100) -> dict[str, Any]:
    return {"event": "outputs", "first": first, "windows": [1] * count}


LATENCY = {"event": "latency", "ms": [1.0, 2.0]}
ENGINE = {"event": "engine", "length": 16, "ms": [0.5]}
DONE = {"event": "done"}


def cut(root: Path, events: list[dict[str, Any]], launch: int = 0, torn: str = "") -> None:
    """One attempt that a device cut after these events, perhaps in the middle of a line."""
    with pytest.raises(DeviceError), keeping(root, KEY) as kept:
        text = "".join(json.dumps(event) + "\n" for event in events)
        kept.file(launch).write_text(text + torn)
        raise DeviceError("cut")


def again(root: Path) -> Kept:
    with keeping(root, KEY) as kept:
        return kept


def test_answers_go_on_and_samples_stay_apart(tmp_path: Path) -> None:
    cut(tmp_path, [loaded(), LATENCY, ENGINE, outputs(0), outputs(100)], torn='{"event": "outputs", "fir')
    cut(tmp_path, [loaded(), LATENCY, outputs(200, 50)])
    kept = again(tmp_path)
    assert kept.answered == 250 and kept.engine == "onnxruntime 1" and kept.attempt == 3
    assert kept.partial == [
        {"launch": 0, "whole": False, "latency_ms": [1.0, 2.0], "engine_ms": {"16": [0.5]}},
        {"launch": 0, "whole": False, "latency_ms": [1.0, 2.0], "engine_ms": {}},
    ]
    assert "250 of 300 answers go on from there, 5 samples are kept as partial" in kept.summary(300)
    assert again(tmp_path).summary(300) == "", "a measurement that came to its end leaves nothing"
    assert not list(tmp_path.iterdir())


def test_a_launch_that_was_whole_is_told_from_one_that_was_cut(tmp_path: Path) -> None:
    with pytest.raises(DeviceError), keeping(tmp_path, KEY) as kept:
        kept.file(0).write_text("".join(json.dumps(e) + "\n" for e in (loaded(), LATENCY, outputs(0), DONE)))
        kept.file(1).write_text("".join(json.dumps(e) + "\n" for e in (loaded(), LATENCY)))
        raise DeviceError("cut")
    assert [(launch["launch"], launch["whole"]) for launch in again(tmp_path).partial] == [(0, True), (1, False)]


def test_answers_are_of_one_engine(tmp_path: Path) -> None:
    cut(tmp_path, [loaded("onnxruntime 1"), outputs(0), outputs(100)])
    cut(tmp_path, [loaded("onnxruntime 2"), outputs(200)])
    assert again(tmp_path).answered == 200, "another engine's answers do not go on"
    cut(tmp_path, [loaded("onnxruntime 1"), outputs(0), outputs(100)])
    cut(tmp_path, [loaded("onnxruntime 2"), outputs(0)])
    kept = again(tmp_path)
    assert (kept.answered, kept.engine) == (100, "onnxruntime 2"), "they began anew"


def test_a_gap_is_no_answer(tmp_path: Path) -> None:
    cut(tmp_path, [loaded(), outputs(0), outputs(200)])
    assert again(tmp_path).answered == 100


def test_what_no_device_is_to_blame_for_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError), keeping(tmp_path, KEY) as kept:
        kept.file(0).write_text(json.dumps(LATENCY) + "\n")
        raise ArtifactError("other answers")
    assert not list(tmp_path.iterdir())


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    with keeping(tmp_path, KEY) as first:
        first.file(0).write_text(json.dumps(LATENCY) + "\n")
        with keeping(tmp_path, KEY) as second:
            assert second.folder != first.folder and not second.partial
        assert first.file(0).is_file()


def test_old_ones_are_forgotten(tmp_path: Path) -> None:
    cut(tmp_path, [loaded(), outputs(0)])
    past = time.time() - FORGOTTEN - 10
    for path in (*tmp_path.rglob("*"),):
        os.utime(path, (past, past))
    assert again(tmp_path).answered == 0


def test_where_they_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert keep_folder() == tmp_path / "edgebert" / "jobs"
