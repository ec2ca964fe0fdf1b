"""Kept words give what the tokenizer itself gives, for whatever text."""

from __future__ import annotations

import json
import string
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import odd_texts
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebert import words
from edgebert.artifact import Artifact
from edgebert.tokenization import load_tokenizer
from edgebert.words import WordCache, cached

MAX_LENGTH = 16
SPECIALS = ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]", "[sep]", "[", "]"]


@pytest.fixture(scope="module")
def pair(tiny_artifact: Artifact) -> tuple[Any, WordCache]:
    """The tokenizer, and another one whose words are kept."""
    quick = cached(load_tokenizer(tiny_artifact.path, MAX_LENGTH), MAX_LENGTH)
    assert isinstance(quick, WordCache)
    return load_tokenizer(tiny_artifact.path, MAX_LENGTH), quick


def equal(pair: tuple[Any, WordCache], text: str) -> None:
    plain, quick = pair
    expected, found = plain.encode(text), quick.encode(text)
    assert found.ids == expected.ids and found.type_ids == expected.type_ids
    assert bool(found.overflowing) == bool(expected.overflowing)


ascii_words = st.text(string.printable, max_size=12)
parts = st.one_of(ascii_words, st.sampled_from(SPECIALS), st.sampled_from(odd_texts.PARTS), st.text(max_size=5))


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(parts, max_size=30), between=st.sampled_from(["", " ", "  ", "-"]))
def test_every_text_has_the_tokenizers_ids(pair: tuple[Any, WordCache], pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    for _ in range(2):  # the words learnt, then the words known
        equal(pair, text)


def test_long_words_long_texts_and_nothing(pair: tuple[Any, WordCache]) -> None:
    for text in ("", " ", "a" * 39, "a" * 41, "a" * 99, "a" * 101, "light " * 500, "x" * 100_000, "(((" * 30):
        equal(pair, text)
    for text in odd_texts.texts(300):
        equal(pair, text)


def test_exactly_the_longest_is_not_truncated(pair: tuple[Any, WordCache]) -> None:
    for count in range(MAX_LENGTH - 4, MAX_LENGTH + 2):
        text = "light " * count
        equal(pair, text)
    fits = "light " * (MAX_LENGTH - 2)
    assert not pair[1].encode(fits).overflowing and pair[1].encode(fits + "light").overflowing


def test_pairs_and_options_go_the_long_way(pair: tuple[Any, WordCache]) -> None:
    plain, quick = pair
    assert quick.encode("the light", "the song").type_ids == plain.encode("the light", "the song").type_ids
    bare = quick.encode("the light", add_special_tokens=False)
    assert bare.ids == plain.encode("the light", add_special_tokens=False).ids
    assert quick.get_vocab_size() == plain.get_vocab_size()
    assert words.version_of(quick) == words.version_of(plain) == f"tokenizers {tokenizers.__version__}"


def test_memory_is_bounded(pair: tuple[Any, WordCache], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST", 50)
    for number in range(300):
        equal(pair, f"word{number} and {number}")
        assert len(pair[1]._pieces) <= 50


def test_many_threads(pair: tuple[Any, WordCache], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST", 20)
    texts = [f"light {number % 37} song{number % 23}, {number % 11}" for number in range(400)]
    expected = [pair[0].encode(text).ids for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert [found.ids for found in pool.map(pair[1].encode, texts * 4)] == expected * 4


@pytest.mark.parametrize("change", ["pre-tokenizer", "normalized token", "word token", "frame"])
def test_other_tokenizers_are_left_alone(tiny_artifact: Artifact, change: str, tmp_path: Path) -> None:
    body = json.loads((tiny_artifact.path / "tokenizer.json").read_text("utf-8"))
    if change == "pre-tokenizer":
        body["pre_tokenizer"] = {"type": "Whitespace"}
    elif change == "frame":
        body["post_processor"] = None
    else:
        special = change == "normalized token"
        token = dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        token |= {"id": 5, "content": "light", "normalized": special, "special": special}
        body["added_tokens"].append(token)
    (tmp_path / "tokenizer.json").write_text(json.dumps(body), "utf-8")
    tokenizer = load_tokenizer(tmp_path, MAX_LENGTH)
    assert cached(tokenizer, MAX_LENGTH) is tokenizer
