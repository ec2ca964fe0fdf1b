"""Vocabulary pruning: nothing is lost on the text that it was made for, and no word becomes unknown."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from edgebert.compress.folder import special_tokens, tokenizer_json
from edgebert.compress.vocabulary import all_pieces, clean, id_map, prune, share_changed, write_tokenizer
from edgebert.errors import DataError
from edgebert.teacher import Teacher


@pytest.fixture(scope="module")
def source(teacher: Teacher) -> dict[str, Any]:
    return tokenizer_json(teacher.path)


def engine(tokenizer: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(clean(tokenizer)))


def test_ids_map_one_to_one_on_the_corpus(source: dict[str, Any], records: list[dict[str, str]]) -> None:
    texts = [record["text"] for record in records]
    pruned = prune(source, texts, name="tiny")
    before, after = engine(source), engine(pruned.tokenizer)
    assert len(pruned.kept) < len(all_pieces(source))
    assert len(set(pruned.kept.tolist())) == len(pruned.kept)
    for text in texts:
        assert pruned.kept[after.encode(text).ids].tolist() == before.encode(text).ids
    for first, second in itertools.pairwise(texts):  # the pair template too
        assert pruned.kept[after.encode(first, second).ids].tolist() == before.encode(first, second).ids


def test_truncation_of_the_source_is_ignored(source: dict[str, Any], records: list[dict[str, str]]) -> None:
    assert source["truncation"] is not None, "the fixture must be untidy"
    pruned = prune(source, ["please " * 40 + "sunshine"], name="tiny")
    assert pruned.tokenizer["truncation"] is None
    assert (
        pruned.kept[engine(pruned.tokenizer).encode("sunshine").ids].tolist() == engine(source).encode("sunshine").ids
    )


def test_rare_pieces_go_and_their_words_are_spelled(source: dict[str, Any]) -> None:
    texts = ["the lamp", "the lamp", "the weather"]
    safe = len(prune(source, [], name="tiny").kept)
    pruned = prune(source, texts, name="tiny", most=safe + 2)
    pieces = pruned.tokenizer["model"]["vocab"]
    assert len(pieces) == safe + 2 and "lamp" in pieces
    assert "weather" not in pieces and pruned.changed == pytest.approx(1 / 3)
    tokens = engine(pruned.tokenizer).encode("weather", add_special_tokens=False).tokens
    assert "[UNK]" not in tokens
    assert "".join(token.removeprefix("##") for token in tokens) == "weather"
    assert prune(source, texts, name="tiny").changed == 0.0


def test_fewer_pieces_than_cannot_be_done_without_are_refused(source: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="pieces is 10"):
        prune(source, ["the lamp"], name="tiny", most=10)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyzABCü0123456789 ,!?-漢\u00e9", max_size=40))
def test_no_text_becomes_unknown(teacher: Teacher, text: str) -> None:
    source = tokenizer_json(teacher.path)
    before, after = engine(source), engine(prune(source, ["the lamp"], name="tiny").tokenizer)
    assert before.encode(text).tokens.count("[UNK]") == after.encode(text).tokens.count("[UNK]")


def test_a_character_without_a_piece_of_its_own_keeps_the_piece_that_has_it(source: dict[str, Any]) -> None:
    vocabulary = dict(source["model"]["vocab"])
    for piece in ("##q", "##qz"):
        vocabulary.pop(piece, None)
    vocabulary = {piece: index for index, piece in enumerate([*vocabulary, "##qz"])}
    odd = source | {"model": source["model"] | {"vocab": vocabulary}}
    pruned = prune(odd, ["the lamp"], name="tiny").tokenizer
    assert engine(odd).encode("aqz", add_special_tokens=False).tokens == ["a", "##qz"]
    assert engine(pruned).encode("aqz", add_special_tokens=False).tokens == ["a", "##qz"]


def test_unreachable_inner_characters_go(source: dict[str, Any]) -> None:
    """BERT splits at punctuation, so that `##!` never comes out."""
    assert "##!" in source["model"]["vocab"]
    pruned = prune(source, ["the lamp"], name="tiny").tokenizer["model"]["vocab"]
    assert "##!" not in pruned
    assert {"!", "a", "##a", "0", "##0"} <= set(pruned)


def test_order_and_special_ids(source: dict[str, Any]) -> None:
    pruned = prune(source, ["the lamp"], name="tiny")
    assert pruned.kept.tolist() == sorted(pruned.kept.tolist())
    encoding = engine(pruned.tokenizer).encode("the lamp")
    assert encoding.tokens[0] == "[CLS]" and encoding.tokens[-1] == "[SEP]"
    ids = pruned.tokenizer["model"]["vocab"]
    assert [encoding.ids[0], encoding.ids[-1]] == [ids["[CLS]"], ids["[SEP]"]]
    assert sorted(ids.values()) == list(range(len(ids)))
    assert all(ids[token["content"]] == token["id"] for token in pruned.tokenizer["added_tokens"])


def test_bert_processing_and_scattered_specials(source: dict[str, Any]) -> None:
    """The older post-processor, and special tokens in the middle as in bert-base-uncased."""
    ordinary = [piece for piece in source["model"]["vocab"] if not piece.startswith("[")]
    order = ["[PAD]", *ordinary[:50], "[UNK]", "[CLS]", "[SEP]", "[MASK]", *ordinary[50:]]
    vocabulary = {piece: index for index, piece in enumerate(order)}
    odd = source | {
        "model": source["model"] | {"vocab": vocabulary},
        "added_tokens": [token | {"id": vocabulary[token["content"]]} for token in source["added_tokens"]],
        "post_processor": {
            "type": "BertProcessing",
            "sep": ["[SEP]", vocabulary["[SEP]"]],
            "cls": ["[CLS]", vocabulary["[CLS]"]],
        },
    }
    pruned = prune(odd, ["the lamp please"], name="tiny")
    before, after = engine(odd).encode("the lamp please"), engine(pruned.tokenizer).encode("the lamp please")
    assert after.tokens == before.tokens
    assert pruned.kept[after.ids].tolist() == before.ids


def test_other_tokenizers_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="the tokenizer of roberta-like is BPE") as caught:
        prune({"model": {"type": "BPE", "vocab": {}}, "added_tokens": []}, [], name="roberta-like")
    assert "vocabulary: keep" in caught.value.hint


def test_transformers_reads_the_same_ids(
    source: dict[str, Any], teacher: Teacher, records: list[dict[str, str]], tmp_path: Path
) -> None:
    import transformers

    texts = [record["text"] for record in records] + ["Über ÉTÉ 42!", "unseenwords", "漢字"]
    pruned = prune(source, texts[:50], name="tiny")
    write_tokenizer(tmp_path, pruned.tokenizer, special_tokens(teacher.path, pruned.tokenizer), 32)
    auto: Any = transformers.AutoTokenizer
    theirs = auto.from_pretrained(tmp_path)
    ours = engine(pruned.tokenizer)
    assert [theirs(text)["input_ids"] for text in texts] == [ours.encode(text).ids for text in texts]
    assert theirs.model_max_length == 32
    assert (theirs.cls_token, theirs.mask_token, theirs.pad_token) == ("[CLS]", "[MASK]", "[PAD]")
    lines = (tmp_path / "vocab.txt").read_text("utf-8").splitlines()
    assert lines == sorted(all_pieces(pruned.tokenizer), key=all_pieces(pruned.tokenizer).__getitem__)


def test_the_share_of_texts_that_are_split_otherwise(source: dict[str, Any]) -> None:
    pruned = prune(source, ["the lamp"], name="tiny")
    assert share_changed(source, pruned, ["the lamp", "the weather", "lamp the lamp", "weather"]) == 0.5
    assert share_changed(source, pruned, []) == 0.0


def test_id_map_finds_the_teachers_ids(source: dict[str, Any]) -> None:
    pruned = prune(source, ["the lamp"], name="tiny")
    assert np.array_equal(id_map(all_pieces(pruned.tokenizer), all_pieces(source)), pruned.kept)


def test_id_map_refuses_a_strangers_piece(source: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="'stranger'"):
        id_map({"[PAD]": 0, "stranger": 1}, all_pieces(source))


def test_random_texts_over_the_corpus_words(source: dict[str, Any], records: list[dict[str, str]]) -> None:
    """New sentences of known words keep their tokens as well: pieces depend on single words."""
    words = sorted({word for record in records for word in record["text"].split()})
    pruned = prune(source, [record["text"] for record in records], name="tiny")
    before, after = engine(source), engine(pruned.tokenizer)
    chooser = random.Random(0)
    for _ in range(200):
        text = " ".join(chooser.choices(words, k=8))
        assert pruned.kept[after.encode(text).ids].tolist() == before.encode(text).ids
