"""Lines of progress, and the time that is left."""

from __future__ import annotations

import pytest

from edgebert import progress


def test_lines_tell_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 5.0, 20.0, 300.0, 500.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines = progress.Lines()
    for done, note in ((0, ""), (1, ""), (20, "loss 0.5"), (30, ""), (100, "")):
        lines.step("distil", done, 100, note)
    assert capsys.readouterr().err.splitlines() == [
        "  distil   0%",
        "  distil  20%  loss 0.5  about 80 s left",
        "  distil  30%  about 12 min left",
        "  distil 100%",
    ]


def test_a_step_that_goes_on_counts_from_where_it_began(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    lines = progress.Lines()
    lines.step("distil", 50, 100)
    lines.step("distil", 60, 100)
    assert capsys.readouterr().err.splitlines()[1] == "  distil  60%  about 2 min left"
