"""SQuAD files, version 1.1 and 2.0 (Rajpurkar et al. 2016 and 2018): one JSON document of articles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgebert.data_records import answers_of, text_of
from edgebert.data_rows import lines_of
from edgebert.errors import DataError
from edgebert.tasks import Record


def read_squad(path: Path, encoding: str) -> Iterator[Record]:
    """The questions of a file: `id`, `question`, `context`, `answers` (empty where there is none), and `line` 0.

    Answers whose `answer_start_exact` is false (their place was reconstructed) are kept where their text stands there.

    Raises:
        DataError: no SQuAD file, or an answer that does not stand where it says.
    """
    try:
        articles = json.loads("".join(lines_of(path, encoding)))["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: no SQuAD file: {error}", 'a JSON object with "data": [articles]') from error
    try:
        for article in articles:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield _record(path, question, paragraph["context"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: an article, paragraph or question lacks {error}", "see docs/data.md") from error


def _record(path: Path, question: dict[str, Any], context: str) -> Record:
    where = f"{path}: question {question['id']}"
    answers = [] if question.get("is_impossible") else question["answers"]
    return {
        "id": str(question["id"]),
        "question": text_of(question["question"].strip(), where, "question"),
        "context": text_of(context, where, "context"),
        "answers": answers_of(answers, context, where, "answers"),
        "line": 0,
    }
