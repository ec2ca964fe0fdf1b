"""Spans of odd texts: offsets name exactly their text, and windows change nothing."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from odd_texts import texts
from tokenizers import Tokenizer

from edgebert.compress.finetune import train_wordpiece
from edgebert.tasks import Encoded
from edgebert.tasks.question_answering import QuestionAnswering
from edgebert.tasks.token_classification import TokenClassification
from edgebert.tasks.windows import owned, pieces_of, whole, windows
from edgebert.tokenization import load_tokenizer
from edgebert.wordpiece import WordPiece

LABELS = ("O", "B-person", "I-person", "B-place", "I-place")
Engine = Tokenizer | WordPiece


@pytest.fixture(scope="module", params=["real", "plain"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """A real vocabulary where it is at hand, else one that is trained here; and our own WordPiece."""
    try:
        folder: Path = request.getfixturevalue("shared") / "models" / "minilm-wnut17"
    except pytest.skip.Exception:
        content = train_wordpiece(texts(300, seed=9), 3000)
        return Tokenizer.from_str(json.dumps(content)) if request.param == "real" else WordPiece(content)
    return load_tokenizer(folder) if request.param == "real" else WordPiece.from_file(folder / "tokenizer.json")


def logits(window: Encoded) -> dict[str, NDArray[np.float32]]:
    """What a model might put out: it follows from the window's ids, each token's from all of them."""
    ids = np.array(window.input_ids, dtype=np.uint64)
    context = ids.sum()
    rows = np.arange(1, len(LABELS) + 1, dtype=np.uint64)
    mixed = (ids[:, None] * np.uint64(2654435761) + rows * np.uint64(40503) + context * np.uint64(97)) % np.uint64(1009)
    return {"logits": (mixed.astype(np.float32) / 200.0)}


def pointers(window: Encoded) -> dict[str, NDArray[np.float32]]:
    found = logits(window)["logits"]
    return {"start_logits": found[:, 0].copy(), "end_logits": found[:, 1].copy()}


def inside_a_character(text: str, at: int) -> bool:
    """Whether a cut at `at` would part what is read as one character."""
    if not 0 < at < len(text):
        return False
    return (
        unicodedata.combining(text[at]) != 0 or text[at] in "\u200d\ufe0f" or "\U0001f3fb" <= text[at] <= "\U0001f3ff"
    )


def test_every_span_points_at_the_text_it_names(tokenizer: Any) -> None:
    task, count = TokenClassification(), 0
    for text in texts(2000, seed=1):
        made = task.encode(tokenizer, {"text": text}, 32)
        found = task.decode({"text": text}, made, [logits(window) for window in made], LABELS)
        end = 0
        for span in found.spans:
            assert text[span.start : span.end] == span.text != ""
            assert end <= span.start < span.end <= len(text) and 0 < span.score <= 1
            assert not inside_a_character(text, span.end), (text, span)
            end = span.end
            count += 1
    assert count > 2000


def test_every_answer_points_at_the_text_it_names(tokenizer: Any) -> None:
    task = QuestionAnswering(max_answer_tokens=7)
    for text in texts(2000, seed=2):
        record = {"question": "where is it?", "context": text}
        made = task.encode(tokenizer, record, 32)
        found = task.decode(record, made, [pointers(window) for window in made], ())
        if found.start is None:
            assert all(word < 0 for window in made for word in window.words)
            continue
        assert text[found.start : found.end] == found.text != "" and 0 < found.score <= 1
        assert found.end is not None and not inside_a_character(text, found.end)


def test_windows_cover_the_text_and_own_each_piece_once(tokenizer: Any) -> None:
    for number, text in enumerate(texts(300, seed=3, words=(1, 150))):
        pieces = pieces_of(tokenizer, text)
        made = windows(tokenizer, pieces, 24, number % 12)
        assert all(len(window.input_ids) <= 24 for window in made)
        mine = [
            (window.input_ids[token], window.offsets[token], window.words[token])
            for window, (first, last) in zip(made, owned(made), strict=True)
            for token in range(first, last)
        ]
        assert mine == list(zip(pieces.ids, pieces.offsets, pieces.words, strict=True))
        for window in made:  # a window's own text has the window's ids, unless one word is longer than a window
            body = [token for token, word in enumerate(window.words) if word >= 0]
            if not body or pieces.words.count(window.words[body[0]]) > 12:
                continue
            own = text[window.offsets[body[0]][0] : window.offsets[body[-1]][1]]
            if pieces.words.count(window.words[body[-1]]) <= 12 and own.isascii():
                assert tokenizer.encode(own).ids == window.input_ids


def test_a_long_text_gives_the_spans_of_its_windows(tokenizer: Any) -> None:
    """Each window as a text of its own: the same spans, where they lie in what the window owns."""
    task, compared = TokenClassification(), 0
    for text in texts(200, seed=4, words=(60, 120)):
        text = text.encode("ascii", "ignore").decode() or "a"
        made = task.encode(tokenizer, {"text": text}, 32)
        long = {
            (s.start, s.end, s.label)
            for s in task.decode({"text": text}, made, [logits(w) for w in made], LABELS).spans
        }
        for window, (first, last) in zip(made, owned(made), strict=True):
            if first == last:
                continue
            body = [token for token, word in enumerate(window.words) if word >= 0]
            start = window.offsets[body[0]][0]
            own = text[start : window.offsets[body[-1]][1]]
            [alone] = task.encode(tokenizer, {"text": own}, 32)
            if alone.input_ids != window.input_ids:
                continue
            low, high = window.offsets[first][0], window.offsets[last - 1][1]
            here = {
                (s.start + start, s.end + start, s.label)
                for s in task.decode({"text": own}, [alone], [logits(alone)], LABELS).spans
            }
            for one, other in ((here, long), (long, here)):  # only what crosses the edge may differ
                crossing = [s for s in other if (s[0] <= low < s[1]) or (s[0] < high <= s[1])]
                for span in one - other:
                    if low < span[0] and span[1] < high:
                        assert any(span[0] < s[1] and s[0] < span[1] for s in crossing), span
            compared += sum(low < s[0] and s[1] < high for s in here & long)
    assert compared > 500


def test_question_windows_begin_with_the_question(tokenizer: Any) -> None:
    task = QuestionAnswering()
    question = tokenizer.encode("where is it?", add_special_tokens=False).ids
    for text in texts(100, seed=5, words=(1, 150)):
        pieces = pieces_of(tokenizer, text)
        made = task.encode(tokenizer, {"question": "where is it?", "context": text}, 48)
        covered = set()
        for window in made:
            assert len(window.input_ids) <= 48 and window.input_ids[1 : 1 + len(question)] == question
            assert window.token_type_ids == [0] * (2 + len(question)) + [1] * (
                len(window.input_ids) - 2 - len(question)
            )
            covered |= {o for o, word in zip(window.offsets, window.words, strict=True) if word >= 0}
        assert covered == set(pieces.offsets)
        one = task.encode(tokenizer, {"question": "where is it?", "context": "here"}, 48)
        assert one[0].input_ids == tokenizer.encode("where is it?", "here").ids


def test_a_question_that_is_too_long_is_cut(tokenizer: Any) -> None:
    record = {"question": "where " * 100, "context": "here it is"}
    made = QuestionAnswering().encode(tokenizer, record, 32)
    assert all(window.truncated and len(window.input_ids) <= 32 for window in made)
    assert any(word >= 0 for word in made[0].words)


def test_a_megabyte_takes_seconds(tokenizer: Any) -> None:
    text = "Paris is in the north of France, naïve. " * 26_000
    assert len(text) > 1_000_000
    start = time.monotonic()
    made = TokenClassification().encode(tokenizer, {"text": text}, 128)
    assert len(owned(made)) == len(made) > 1000
    assert time.monotonic() - start < 60


def test_a_text_without_pieces(tokenizer: Any) -> None:
    task = TokenClassification()
    [window] = task.encode(tokenizer, {"text": "\u200b\ufeff"}, 32)
    assert task.decode({"text": "\u200b\ufeff"}, [window], [logits(window)], LABELS).spans == ()
    record = {"question": "where?", "context": "\u200b\ufeff"}
    made = QuestionAnswering().encode(tokenizer, record, 32)
    found = QuestionAnswering().decode(record, made, [pointers(window) for window in made], ())
    assert (found.text, found.start, found.end, found.score) == ("", None, None, 1.0)


def test_words_that_are_given_and_words_that_are_found_agree(tokenizer: Any) -> None:
    task = TokenClassification()
    words = ["Paris", "is", "in", "France", ",", "naïve", "London", "!"]
    given = task.encode(tokenizer, {"tokens": words}, 64)
    found = task.encode(tokenizer, {"text": " ".join(words)}, 64)
    assert given == found
    vanished = ["Paris", "\u200b", "London"]
    made = task.encode(tokenizer, {"tokens": vanished}, 64)
    scored = task.score([_answered(vanished, made)], LABELS)
    assert scored.answers is not None
    assert {word for _, first, last in scored.answers[0] for word in (first, last)} <= {0, 2}


def _answered(words: list[str], made: list[Encoded]) -> Any:
    from edgebert.tasks import Answered

    outputs = [{"logits": np.tile(np.eye(5, dtype=np.float32)[1] * 9, (len(w.input_ids), 1))} for w in made]
    return Answered({"tokens": words, "tags": ["O"] * len(words)}, made, outputs)


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [
        ("cafe\u0301 x", 4, 5), ("👍🏽 x", 1, 2), ("👩\u200d👧 x", 1, 3), ("🇩🇪🇫🇷", 1, 2), ("🇩🇪🇫🇷", 2, 2), ("ab", 1, 1),
        ("1️⃣!", 1, 3), ("a b", 1, 1), ("ab", 2, 2),
    ],
)  # fmt: skip
def test_a_span_ends_with_a_whole_character(text: str, end: int, expected: int) -> None:
    assert whole(text, end) == expected
