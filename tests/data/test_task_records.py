"""Files of every task become its records, or an error that names the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import TASKS

from edgebert import data
from edgebert.data_conll import iob2
from edgebert.data_stream import Texts
from edgebert.errors import DataError
from edgebert.recipe import SplitSpec
from edgebert.tasks import Task
from edgebert.tasks.text_classification import TextClassification


def read(folder: Path, name: str, content: str, task: str | Task, **options: Any) -> list[data.Record]:
    (folder / name).write_text(content, "utf-8")
    kind = TASKS[task] if isinstance(task, str) else task
    columns = options.pop("columns", {})
    return data.read_task_records(folder / name, kind, columns, **options)


def test_conll(tmp_path: Path) -> None:
    content = "-DOCSTART- -X- O\n\nJohn NNP B-person\nSmith NNP I-person\n. . O\n\t\nParis\tB-place\n"
    found = read(tmp_path, "a.conll", content, "tokens")
    assert found == [
        {"tokens": ["John", "Smith", "."], "tags": ["B-person", "I-person", "O"], "line": 3},
        {"tokens": ["Paris"], "tags": ["B-place"], "line": 7},
    ]


def test_iob1_becomes_iob2_and_iob2_stays() -> None:
    assert iob2(["I-a", "I-a", "B-a", "O", "I-b", "I-a"]) == ["B-a", "I-a", "B-a", "O", "B-b", "B-a"]


def test_a_file_in_iob1_is_recognised(tmp_path: Path) -> None:
    found = read(tmp_path, "a.conll", "U.N. I-org\nofficial O\n\nEkeus I-per\nSmith B-per\n", "tokens")
    assert [record["tags"] for record in found] == [["B-org", "O"], ["B-per", "B-per"]]
    kept = read(tmp_path, "b.conll", "U.N. B-org\nofficial I-org\n\nEkeus I-per\n", "tokens")
    assert kept[1]["tags"] == ["I-per"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("John\n", r"a\.conll:1: no tag after 'John'"),
        ("John B-per\nSmith per\n", r"a\.conll:2: the tag 'per'"),
        ("John B-\n", r"a\.conll:1: the tag 'B-'"),
        ("John X-per\n", "neither O nor"),
    ],
)
def test_conll_errors(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(tmp_path, "a.conll", content, "tokens")


def test_the_real_tweets(shared: Path) -> None:
    folder = shared / "data" / "wnut17"
    names = {"wnut17train.conll": 3394, "emerging.dev.conll": 1009, "emerging.test.annotated": 1287}
    for name, count in names.items():
        found = data.read_task_records(folder / name, TASKS["tokens"], {}, format="conll")
        assert len(found) == count
        assert len(data.labels_of(found, TASKS["tokens"])) == 13 and data.labels_of(found, TASKS["tokens"])[0] == "O"


SQUAD: dict[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "The tower 😀 is in Paris.",
                    "qas": [
                        {"id": "1", "question": " Where? ", "answers": [{"text": "Paris", "answer_start": 18}]},
                        {"id": "2", "question": "Who?", "is_impossible": True, "answers": []},
                    ],
                }
            ],
        }
    ],
}


def test_squad(tmp_path: Path) -> None:
    first, second = read(tmp_path, "a.json", json.dumps(SQUAD), "answers")
    assert first["question"] == "Where?" and first["answers"] == [{"text": "Paris", "answer_start": 18}]
    assert second["answers"] == [] and second["id"] == "2"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("qas", [{"id": "9", "question": "q", "answers": [{"text": "Rome", "answer_start": 0}]}]), "answer 'Rome'"),
        (("qas", [{"id": "9", "question": "q"}]), "lacks 'answers'"),
        (("context", "  "), "'context' is empty"),
    ],
)  # fmt: skip
def test_squad_errors(tmp_path: Path, change: tuple[str, Any], said: str) -> None:
    content = json.loads(json.dumps(SQUAD))
    content["data"][0]["paragraphs"][0][change[0]] = change[1]
    with pytest.raises(DataError, match=said):
        read(tmp_path, "a.json", json.dumps(content), "answers")


@pytest.mark.parametrize("content", ["[]", "{", '{"data": 3}', '{"version": 1}'])
def test_what_is_no_squad_file(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"a\.json"):
        read(tmp_path, "a.json", content, "answers")


def test_the_real_questions(shared: Path) -> None:
    for name, count in (("dev-v1.1-train36.json", 8001), ("dev-v1.1-eval12.json", 2569)):
        assert len(data.read_task_records(shared / "data" / "squad" / name, TASKS["answers"], {})) == count


def test_json_lines_of_every_task(tmp_path: Path) -> None:
    rows = {
        "tokens": {"words": ["a", "b"], "tags": ["O", "B-x"]},
        "answers": {"question": "q", "context": "in Rome", "answers": {"text": ["Rome"], "answer_start": [3]}},
        "multi-label": {"text": "t", "label": ["b", "a"]},
        "regression": {"text": "t", "label": 2},
        "pair": {"text": "t", "text_pair": "u", "label": "x"},
    }
    for task, row in rows.items():
        columns = {"tokens": "words"} if task == "tokens" else {}
        [found] = read(tmp_path, f"{task}.jsonl", json.dumps(row), task, columns=columns)
        assert found["line"] == 1
        if task == "answers":
            assert found["answers"] == [{"text": "Rome", "answer_start": 3}]
        if task == "multi-label":
            assert found["label"] == ["a", "b"]
        if task == "regression":
            assert found["label"] == 2.0
    pairs = read(
        tmp_path, "e.jsonl", '{"a": "x", "b": "y", "s": "0.5"}', "embeddings",
        columns={"text": "a", "text_pair": "b", "score": "s"},
    )  # fmt: skip
    assert pairs == [{"text": "x", "text_pair": "y", "score": 0.5, "line": 1}]


def test_tables_of_several_labels_and_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", "text,label\none,b;a\ntwo,\n", "multi-label")
    assert [record["label"] for record in found] == [["a", "b"], []]
    found = read(tmp_path, "a.tsv", "text\tlabel\none\tb|a\n", "multi-label", separator="|")
    assert found[0]["label"] == ["a", "b"]
    assert read(tmp_path, "b.csv", "text,label\none,-1e-3\n", "regression")[0]["label"] == -0.001


@pytest.mark.parametrize(
    ("task", "row", "said"),
    [
        ("tokens", {"tokens": ["a"], "tags": ["O", "O"]}, "1 tokens, but 2 tags"),
        ("tokens", {"tokens": "a b", "tags": ["O"]}, "must be a list of words"),
        ("tokens", {"tokens": ["a", ""], "tags": ["O", "O"]}, "is empty"),
        ("tokens", {"tokens": ["a"], "tags": ["person"]}, "the tag 'person'"),
        ("answers", {"question": "q", "context": "c", "answers": "c"}, "must be a list of answers"),
        ("answers", {"question": "q", "context": "c", "answers": [{"text": "c"}]}, "lacks its text or answer_start"),
        ("answers", {"question": "q", "context": "c", "answers": [{"text": "c", "answer_start": -1}]}, "not stand"),
        ("answers", {"question": "q", "context": "c", "answers": {"text": ["c"], "answer_start": []}}, "as many texts"),
        ("multi-label", {"text": "t", "label": "a"}, "must be a list of labels"),
        ("multi-label", {"text": "t", "label": ["a", "a"]}, "names a label twice"),
        ("regression", {"text": "t", "label": "high"}, "must be a number"),
        ("regression", {"text": "t", "label": True}, "must be a number"),
        ("pair", {"text": "t", "label": "x"}, "no key 'text_pair'"),
    ],
)  # fmt: skip
def test_rows_that_are_none(tmp_path: Path, task: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(tmp_path, "a.jsonl", json.dumps(row), task)
    assert "a.jsonl:1" in caught.value.message and caught.value.hint


def test_nan_is_no_number(tmp_path: Path) -> None:
    for value in ("nan", "inf"):
        with pytest.raises(DataError, match="must be a number"):
            read(tmp_path, "a.csv", f"text,label\none,{value}\n", "regression")


def test_a_format_for_another_task(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="conll files are for token-classification"):
        read(tmp_path, "a.conll", "a O\n", "single-label")
    with pytest.raises(DataError, match="squad files are for question-answering"):
        read(tmp_path, "a.json", "{}", "tokens")


def test_out_of_scope_is_no_label_but_allowed() -> None:
    task = TextClassification(out_of_scope="oos")
    records = [{"text": "a", "label": "x"}, {"text": "b", "label": "oos"}]
    assert data.labels_of(records, task) == ["x"]
    data.check_labels(records, ["x"], "a.csv", task)
    with pytest.raises(DataError, match="oos"):
        data.check_labels(records, ["x"], "a.csv", TextClassification())


def test_unlabelled_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n", "utf-8")
    (tmp_path / "a.jsonl").write_text('{"q": "who?", "context": "c"}\n', "utf-8")
    tokens = data.read_unlabelled(
        SplitSpec(path="a.txt", format="jsonl").model_copy(update={"format": None}), tmp_path, TASKS["tokens"]
    )
    assert [record["text"] for record in tokens] == ["one", "two"]
    assert [record["text"] for record in tokens] == ["one", "two"]  # read again from its start
    assert len(tokens) == 2 and {"text": "two"} in tokens
    pairs = data.read_unlabelled(SplitSpec(path="a.jsonl", question="q"), tmp_path, TASKS["answers"])
    assert [(record["question"], record["context"]) for record in pairs] == [("who?", "c")]


def test_an_unlabelled_file_that_changes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n", "utf-8")
    texts = data.read_unlabelled(SplitSpec(path="a.txt"), tmp_path, TASKS["tokens"])
    path.write_text("one\ntwo\nthree\n", "utf-8")
    with pytest.raises(DataError, match=r"a\.txt was changed"):
        list(texts)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.txt was changed"):
        list(texts)


def test_texts_of_records_and_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("three\n\nfour\u2028five", "utf-8")
    texts = Texts(([{"text": "one", "text_pair": "two"}], ()), tmp_path / "corpus.txt")
    assert list(texts) == list(texts) == ["one", "two", "three", "", "four", "five"]
