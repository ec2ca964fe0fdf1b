"""Every verb on a real, tiny artifact: what it prints, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tiny_tasks import TASKS

from edgebert.artifact import Artifact
from edgebert.cli import main
from edgebert.cli_answers import answer, answer_json, question
from edgebert.devices.local import Local
from edgebert.errors import DataError, DeviceError
from edgebert.tasks.answers import Embedding, LabelSet, Prediction, Span, Spans, TextAnswer, Value
from edgebert.teacher import Teacher


def edgebert(*arguments: object, given: str | None = None) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)
    assert done.exit_code == 0, done.stderr
    return done


def test_predict_for_people_and_programs(tiny_artifact: Artifact) -> None:
    shown = edgebert("predict", tiny_artifact.path, "the rain now", "please song").stdout.splitlines()
    assert len(shown) == 2 and shown[0].endswith("\tthe rain now")
    label, score, _ = shown[0].split("\t")
    assert label in tiny_artifact.manifest.labels and 0 < float(score) <= 1
    lines = edgebert("predict", tiny_artifact.path, "--json", given="the rain now\n\nplease song\n").stdout.splitlines()
    first, second = map(json.loads, lines)
    assert first["text"] == "the rain now" and first["label"] == label and second["text"] == "please song"
    for threads in ("auto", "2"):
        again = edgebert("predict", tiny_artifact.path, "--threads", threads, "the rain now").stdout
        assert again.startswith(f"{label}\t") and again.endswith("\tthe rain now\n")


def test_check(tiny_artifact: Artifact, tmp_path: Path, records: list[dict[str, str]]) -> None:
    data = tmp_path / "test.csv"
    data.write_text("utterance,intent\n" + "".join(f'"{r["text"]}",{r["label"]}\n' for r in records), "utf-8")
    common = (tiny_artifact.path, "--data", data, "--text", "utterance", "--label", "intent", "--launches", 1,
              "--repeats", 0)  # fmt: skip
    found = json.loads(edgebert("check", *common, "--samples", 70, "--json").stdout)
    assert found["metric"]["name"] == "accuracy" and found["latency_ms"]["n"] == 70 and found["engine_ms"]
    assert found["figures"]["ece"] >= 0
    shown = edgebert("check", *common, "--samples", 8).stdout
    assert "accuracy" in shown and "cold start" in shown and "ece" in shown


def test_bench_under_sustained_load(tiny_artifact: Artifact, tmp_path: Path) -> None:
    shown = edgebert("bench", tiny_artifact.path, "--minutes", 0.06, "-o", tmp_path / "sustained").stdout
    assert "ms at the start" in shown and "minutes" in shown
    (row,) = json.loads((tmp_path / "sustained" / "report.json").read_text("utf-8"))["results"]
    assert len(row["over_time"]) >= 2 and row["latency_ms"]["n"] > 100 and row["latency_ms"]["p90"] is None
    assert "Latency over time" in (tmp_path / "sustained" / "report.html").read_text("utf-8")


def test_bench(tiny_artifact: Artifact) -> None:
    common = ("bench", tiny_artifact.path, "--lengths", "16,32", "--launches", 1)
    rows = json.loads(edgebert(*common, "--threads", "1,2", "--json").stdout)
    assert [row["threads"] for row in rows] == [1, 2] and set(rows[0]["engine_ms"]) == {"16", "32"}
    assert "16 tokens" in edgebert(*common).stdout


def test_bench_tells_what_an_earlier_one_left(
    tiny_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    common = ("bench", str(tiny_artifact.path), "--lengths", "16,32", "--launches", "1")
    whole = Local.run

    def cut(device: Local, job: str, output: Path, *, timeout: float) -> int:
        whole(device, job, output, timeout=timeout)
        lines = output.read_text("utf-8").splitlines(keepends=True)
        engine = next(number for number, line in enumerate(lines) if json.loads(line)["event"] == "engine")
        output.write_text("".join(lines[: engine + 1]) + lines[engine + 1][:30], "utf-8")
        raise DeviceError("local: the line was cut", "run the command again")

    for more in (["--json"], []):
        with monkeypatch.context() as patch:
            patch.setattr(Local, "run", cut)
            assert CliRunner().invoke(main, common).exit_code == 3
        shown = edgebert(*common, *more).stdout
        if more:
            ((kept,),) = [row["partial"] for row in json.loads(shown)]
            assert not kept["whole"] and [(n, len(ms)) for n, ms in kept["engine_ms"].items()] == [("16", 50)]
            assert json.loads(shown)[0]["engine_ms"]["16"]["n"] == 50, "not pooled"
        else:
            assert "50 samples of a measurement that was cut are kept, not pooled" in shown
    assert "not pooled" not in edgebert(*common).stdout, "a whole one leaves nothing"


def test_export_and_verify(teacher: Teacher, tmp_path: Path, records: list[dict[str, str]]) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(record["text"] + "\n" for record in records), "utf-8")
    out = tmp_path / "onnx-int8"
    common = ("export", teacher.path, "--format", "onnx", "--precision", "int8", "--lengths", "16,32", "-o", out)
    shown = edgebert(*common, "--calibrate", texts).stdout.split("\t")
    assert shown[0] == str(out) and shown[1].endswith("MB")
    found = json.loads(edgebert("verify", out, "--json").stdout)
    assert found["artifact_id"] == shown[2].strip() and found["golden"].startswith("equal")
    assert "golden" in edgebert("verify", out).stdout


def test_export_of_another_task(make_teacher: Callable[..., Teacher], tmp_path: Path) -> None:
    model = make_teacher("bert", layers=1, task=TASKS["tokens"], initializer_range=0.3).path
    data = tmp_path / "a.conll"
    data.write_text("lamp B-thing\nnow O\n\nthe O\nrain B-wish\n\n" * 5, "utf-8")
    common = ("export", model, "--format", "onnx", "--precision", "fp32", "--lengths", "16", "-o", tmp_path / "out")
    edgebert(*common, "--task", "token-classification", "--option", "stride=4", "--calibrate", data)
    lines = edgebert("predict", tmp_path / "out", "--json", "lamp the rain now").stdout
    spans = json.loads(lines)["spans"]
    assert all("lamp the rain now"[span["start"] : span["end"]] == span["text"] for span in spans)
    done = CliRunner().invoke(main, ["predict", str(model), "x"])
    assert done.exit_code == 4


def test_devices_doctor_and_schemas() -> None:
    [device] = json.loads(edgebert("devices", "--json").stdout)
    assert device["device"] == "local" and device["cores"] >= 1
    assert "cores" in edgebert("devices").stdout
    findings = json.loads(edgebert("doctor", "--json").stdout)
    assert all(finding["state"] in ("ok", "warning") for finding in findings)
    assert "ok" in edgebert("doctor").stdout
    for what in ("recipe", "manifest", "report"):
        assert json.loads(edgebert("schema", what).stdout)["properties"]


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (Prediction("a", 0.5), "a\t0.5000"),
        (LabelSet(("a", "b"), (0.9, 0.6)), "a 0.9000, b 0.6000"),
        (LabelSet((), ()), "no labels"),
        (Value(2.25), "2.2500"),
        (Spans((Span("x", 0, 2, "ab", 0.9),)), "x: ab (0-2)"),
        (Spans(()), "no spans"),
        (TextAnswer("Paris", 3, 8, 0.75), "Paris\t0.7500"),
        (TextAnswer("", None, None, 0.75), "no answer\t0.7500"),
    ],
)
def test_answers_in_a_few_words(found: Any, shown: str) -> None:
    assert answer(found) == shown
    assert json.dumps(answer_json({"text": "q"}, found))


def test_a_vector_in_a_few_words() -> None:
    import numpy as np

    assert answer(Embedding(np.ones(5, np.float32))) == "5 numbers: 1.0000 1.0000 1.0000 1.0000 …"


def test_questions_of_two_texts() -> None:
    roles = ("question", "context")
    assert question("who?\there", roles) == question('{"question": "who?", "context": "here"}', roles)
    assert question("a\tb", ("text",)) == "a\tb"
    with pytest.raises(DataError, match="reads question and context"):
        question("who?", roles)
