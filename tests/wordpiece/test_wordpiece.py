"""Plain-Python WordPiece against `tokenizers`: the same ids, offsets and words, whatever the text."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from edgebert import unicode_tables as tables
from edgebert.compress.finetune import train_wordpiece
from edgebert.errors import ArtifactError
from edgebert.wordpiece import WordPiece

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
ODD = [
    "", " ", "\t\n", "naïve café", "cafe\u0301s", "e\u0301\u0302", "a\u0000b\ufffdc", "İstanbul ISPARTA ıı", "ΣΑΣ Σας",
    "👩\u200d👩\u200d👧\u200d👦 fine", "🏳️\u200d🌈🇩🇪", "👍🏽!", "日本語テスト 漢字kanji", "한국어 테스트", "שלום, עולם",
    "مرحبا بالعالم", "हिन्दी में", "ไทยแลนด์", "a [MASK] b[SEP]c [PAD]", "[mask] [UN K]", "x" * 101, "ab" * 50 + " c",
    "3.14-15/16", "\u2028line\u2029", "\u00a0nbsp\u3000wide", "`˝´ʼ", "\u037e;\u1fef", "ﬁ ﬀ ǆ", "\U000e0001tag", "𝔘𝔫𝔦",
    "Å\u030a",
    "豈更",
]  # fmt: skip


def vocabulary() -> dict[str, Any]:
    """A tokenizer.json trained on words, letters of many scripts included."""
    random.seed(3)
    words = ["turn the lights off please", "unaffable quick brown fox", *(text for text in ODD if text.strip())]
    words.append(" ".join(random.sample([c for c in EVERY if c.isalpha()], 1500)))
    return train_wordpiece(words, 6000)


@pytest.fixture(scope="module", params=["lower", "cased", "bare"])
def both(request: pytest.FixtureRequest) -> tuple[Tokenizer, WordPiece]:
    content = vocabulary()
    content["normalizer"] |= {
        "lower": {},
        "cased": {"lowercase": False},
        "bare": {"strip_accents": False, "handle_chinese_chars": False},
    }[request.param]
    return Tokenizer.from_str(json.dumps(content)), WordPiece(content)


def texts() -> Iterator[str]:
    """20,000 strings: odd ones, every block of Unicode, and random mixtures."""
    yield from ODD
    draw = random.Random(11)
    common = [
        *"abcdefghij ABC 0123 .,!?-'\"()[] \t",
        *"éüñçÅ",
        "the ",
        "turn ",
        "\u0301",
        "\u200d",
        "\ufe0f",
        "👍",
        "漢",
        "字",
    ]
    for start in range(0, 0x110000, 64):  # some of every block, alone and between letters
        block = [chr(c) for c in range(start, start + 64) if not 0xD800 <= c <= 0xDFFF]
        if block and start < 0x20000:
            yield "a " + "".join(draw.sample(block, min(20, len(block)))) + " b"
    for _ in range(17_500):
        letters = [
            draw.choice(common) if draw.random() < 0.8 else draw.choice(EVERY) for _ in range(draw.randint(1, 60))
        ]
        yield "".join(letters)


def fields(found: Any) -> tuple[Any, ...]:
    return found.ids, found.type_ids, [tuple(o) for o in found.offsets], found.word_ids, found.sequence_ids


def test_ids_offsets_and_words_are_those_of_tokenizers(both: tuple[Tokenizer, WordPiece]) -> None:
    theirs, ours = both
    theirs.no_truncation()
    ours.no_truncation()
    count = 0
    for text in texts():
        assert fields(ours.encode(text)) == fields(theirs.encode(text)), repr(text)
        count += 1
    assert count >= 19_000


def test_pairs_and_truncation(both: tuple[Tokenizer, WordPiece]) -> None:
    theirs, ours = both
    draw = random.Random(5)
    words = ["turn", "the", "lights", "off", "please", "unaffable", "quick", "brown", "fox"]
    for _ in range(500):
        first, second = (" ".join(draw.choices(words, k=draw.randint(0, 30))) for _ in range(2))
        length = draw.randint(3, 40)
        theirs.enable_truncation(length)
        ours.enable_truncation(length)
        assert fields(ours.encode(first, second)) == fields(theirs.encode(first, second)), (first, second, length)
        found = theirs.encode(first)
        assert fields(ours.encode(first)) == fields(found)
        assert ours.encode(first).overflowing == bool(found.overflowing)


def test_a_megabyte_of_text(both: tuple[Tokenizer, WordPiece]) -> None:
    theirs, ours = both
    theirs.no_truncation()
    ours.no_truncation()
    text = "Turn the lights off, naïve 漢字! " * 33_000
    assert len(text) > 1_000_000
    assert ours.encode(text).ids == theirs.encode(text).ids


def test_the_real_vocabulary(shared: Path) -> None:
    path = shared / "models" / "minilm-clinc150" / "tokenizer.json"
    theirs, ours = Tokenizer.from_file(str(path)), WordPiece.from_file(path)
    theirs.no_truncation()
    theirs.no_padding()
    data = json.loads((shared / "data" / "clinc150" / "data_full.json").read_text("utf-8"))
    wnut = (shared / "data" / "wnut17" / "emerging.test.annotated").read_text("utf-8")
    lines = [text for split in ("test", "oos_test") for text, _ in data[split]] + wnut.replace("\tO", "").split("\n\n")
    for text in [*lines, *ODD]:
        assert fields(ours.encode(text)) == fields(theirs.encode(text)), repr(text)


def test_tables_are_those_of_tokenizers() -> None:
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    clean = normalizers.BertNormalizer(**off | {"clean_text": True})
    marks = normalizers.BertNormalizer(**off | {"strip_accents": True})
    cjk = normalizers.BertNormalizer(**off | {"handle_chinese_chars": True})
    split = pre_tokenizers.BertPreTokenizer()
    assert tables.characters(tables.REMOVED) == {c for c in EVERY if clean.normalize_str(f"a{c}b") == "ab"}
    assert tables.characters(tables.WHITESPACE) == {c for c in EVERY if clean.normalize_str(f"a{c}b") == "a b"}
    assert tables.characters(tables.MARKS) == {c for c in EVERY if marks.normalize_str(c) == ""}
    assert tables.characters(tables.IDEOGRAPHS) == {c for c in EVERY if cjk.normalize_str(c) != c}
    assert tables.characters(tables.PUNCTUATION) == {c for c in EVERY if len(split.pre_tokenize_str(f"a{c}b")) == 3}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": {"type": "BPE"}}, "BPE"),
        ({"normalizer": {"type": "NFC"}}, "NFC"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
        ({"normalizer": None}, "not one of BERT"),
        ({"added_tokens": [{"content": "<x>", "id": 9, "lstrip": True}]}, "<x>"),
    ],
)
def test_other_tokenizers_are_refused_by_name(change: dict[str, Any], what: str) -> None:
    with pytest.raises(ArtifactError, match=what):
        WordPiece(vocabulary() | change)
