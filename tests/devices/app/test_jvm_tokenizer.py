"""The JVM's WordPiece: ids, offsets and words of Hugging Face's `tokenizers` and of our own, whatever the text."""

from __future__ import annotations

import hashlib
import json
import random
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jvm_tables
import numpy as np
import odd_texts
import pytest
import tokenizers
from jvm import Jvm

from edgebert.errors import ArtifactError, DataError
from edgebert.tokenization import check_text
from edgebert.wordpiece import WordPiece

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
NORMALIZERS = {
    "lower": {},
    "cased": {"lowercase": False},
    "bare": {"strip_accents": False, "handle_chinese_chars": False},
}


def texts() -> Iterator[str]:
    """Odd texts, some of every block of Unicode, special tokens, and random mixtures: more than 5,000."""
    yield from (
        "",
        " ",
        "\t\n",
        "a [MASK] b[SEP]c [PAD]",
        "[mask] [UN K]",
        "x" * 101,
        "ab" * 50 + " c",
        "Å\u030a",
        "豈更",
    )
    yield from odd_texts.texts(400, seed=2)
    draw = random.Random(11)
    for start in [*range(0, 0x20000, 64), *range(0x20000, 0x110000, 0x1000)]:
        block = [chr(c) for c in range(start, start + 64) if not 0xD800 <= c <= 0xDFFF]
        if block:
            yield "a " + "".join(draw.sample(block, 20)) + " b"
    common = [*"abcdefghij ABC 0123 .,!?-'\"()[] \téüñçÅ", "the ", "turn ", "\u0301", "\u200d", "\ufe0f", "👍", "漢"]
    for _ in range(2800):
        count = draw.randint(1, 60)
        yield "".join(draw.choice(common) if draw.random() < 0.8 else draw.choice(EVERY) for _ in range(count))


def fields(found: Any) -> dict[str, Any]:
    """An encoding of `tokenizers` or ours as the driver shows one."""
    return {
        "ids": found.ids,
        "types": found.type_ids,
        "starts": [start for start, _ in found.offsets],
        "ends": [end for _, end in found.offsets],
        "words": [-1 if word is None else word for word in found.word_ids],
        "truncated": bool(found.overflowing),
    }


def is_newer(text: str, theirs: tokenizers.Tokenizer, ours: WordPiece) -> bool:
    """Whether this Python's Unicode tables treat a character of the text otherwise than those of `tokenizers`.

    Our own tokenizer takes letters' small forms and decompositions from Python, whose Unicode version is another.
    """
    return any(fields(ours.encode(f"a{c}")) != fields(theirs.encode(f"a{c}")) for c in set(text))


@pytest.mark.parametrize("name", NORMALIZERS)
def test_tokens_are_those_of_both_python_tokenizers(jvm: Jvm, tokenizer_file: Callable[..., Path], name: str) -> None:
    path = tokenizer_file(**NORMALIZERS[name])
    theirs, ours = tokenizers.Tokenizer.from_file(str(path)), WordPiece.from_file(path)
    count = newer = 0
    for text in texts():
        found = jvm.ask("encode", tokenizer=str(path), text=text)
        assert found == fields(theirs.encode(text)), repr(text)
        if found != fields(ours.encode(text)):
            assert is_newer(text, theirs, ours), repr(text)
            newer += 1
        count += 1
    assert count >= 5000 and newer < 100


def test_pairs_and_truncation(jvm: Jvm, tokenizer_file: Callable[..., Path]) -> None:
    path = tokenizer_file()
    theirs = tokenizers.Tokenizer.from_file(str(path))
    draw = random.Random(5)
    for _ in range(400):
        first, second = (" ".join(draw.choices(odd_texts.PARTS, k=draw.randint(0, 20))) for _ in range(2))
        most = draw.randint(3, 40)
        theirs.enable_truncation(most)
        question = {"tokenizer": str(path), "text": first, "most": most}
        assert jvm.ask("encode", **question) == fields(theirs.encode(first))
        assert jvm.ask("encode", **question, pair=second) == fields(theirs.encode(first, second)), (first, second, most)


def test_real_texts_and_the_real_vocabulary(jvm: Jvm, shared: Path) -> None:
    path = shared / "models" / "minilm-clinc150" / "tokenizer.json"
    theirs, ours = tokenizers.Tokenizer.from_file(str(path)), WordPiece.from_file(path)
    theirs.no_truncation()
    theirs.no_padding()
    clinc = json.loads((shared / "data" / "clinc150" / "data_full.json").read_text("utf-8"))
    wnut = (shared / "data" / "wnut17" / "emerging.test.annotated").read_text("utf-8")
    lines = [text for text, _ in clinc["test"][::4] + clinc["oos_test"]]
    lines += wnut.replace("\tO", "").split("\n\n")
    lines += _squad(shared)
    assert len(lines) > 3000
    for text in lines:
        found = jvm.ask("encode", tokenizer=str(path), text=text)
        assert found == fields(theirs.encode(text)) == fields(ours.encode(text)), repr(text)


def _squad(shared: Path) -> list[str]:
    """Every fifth context and question of the development set."""
    path = next((shared / "data" / "squad").glob("**/dev*.json"))
    paragraphs = [p for article in json.loads(path.read_text("utf-8"))["data"] for p in article["paragraphs"]][::5]
    return [p["context"] for p in paragraphs] + [p["qas"][0]["question"] for p in paragraphs]


def test_a_megabyte_of_text(jvm: Jvm, tokenizer_file: Callable[..., Path]) -> None:
    path = tokenizer_file()
    text = "Turn the lights off, naïve 漢字! " * 33_000
    found = tokenizers.Tokenizer.from_file(str(path)).encode(text)
    assert jvm.ask("digest", tokenizer=str(path), text=text)["sha256"] == _digest(found)


def _digest(found: Any) -> str:
    starts, ends = zip(*found.offsets, strict=True)
    words = [-1 if word is None else word for word in found.word_ids]
    return hashlib.sha256(np.array([found.ids, starts, ends, words], dtype=">i4").tobytes()).hexdigest()


@pytest.mark.slow
def test_every_character(jvm: Jvm, tokenizer_file: Callable[..., Path]) -> None:
    """All that Unicode has assigned and some of the rest, each within a word and alone."""
    path = tokenizer_file()
    theirs = tokenizers.Tokenizer.from_file(str(path))
    codes = [
        *range(0x34000),
        *range(0x34000, 0xE0000, 0x111),
        *range(0xE0000, 0xE1000),
        *range(0xE1000, 0x110000, 0x111),
    ]
    characters = [chr(code) for code in codes if not 0xD800 <= code <= 0xDFFF]
    assigned = {c for c in EVERY if unicodedata.category(c) not in ("Cn", "Co")}
    assert assigned <= set(characters)
    for first in range(0, len(characters), 4096):
        text = " ".join(f"a{c}b {c}" for c in characters[first : first + 4096])
        assert jvm.ask("digest", tokenizer=str(path), text=text)["sha256"] == _digest(theirs.encode(text)), hex(first)


@pytest.mark.slow
def test_the_tables_are_those_of_tokenizers() -> None:
    if jvm_tables.made_with() != tokenizers.__version__:
        pytest.skip(f"the tables were made with tokenizers {jvm_tables.made_with()}, here is {tokenizers.__version__}")
    assert jvm_tables.FILE.read_text("utf-8") == jvm_tables.content(), "run python tests/support/jvm_tables.py"


def test_hangul_is_decomposed_by_rule(jvm: Jvm) -> None:
    strip = tokenizers.normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    for code in range(0xAC00, 0xD7A4, 7):
        found = jvm.ask("letters", letter=code)["strip"]
        assert "".join(map(chr, found)) == strip.normalize_str(chr(code))


def test_offsets_in_utf16(jvm: Jvm) -> None:
    """What a view marks is what the characters say, beyond the basic plane too."""
    draw = random.Random(3)
    for text in odd_texts.texts(100, seed=4):
        start = draw.randint(0, len(text))
        end = draw.randint(start, len(text))
        found = jvm.ask("slice", text=text, start=start, end=end)
        assert found == {"characters": text[start:end], "units": text[start:end]}


@pytest.mark.parametrize("text", ["", " \t\u3000", "a\ud800b", "\udc00", "👍\udbff", 7])
def test_bad_texts_get_the_message_of_python(jvm: Jvm, text: Any) -> None:
    with pytest.raises(DataError) as caught:
        check_text(text)
    found = jvm.ask("check", text=text)
    assert found["error"] == "DataError"
    assert found["message"] == caught.value.message or isinstance(text, int)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": {"type": "BPE"}}, "BPE"),
        ({"normalizer": {"type": "NFC"}}, "NFC"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
        ({"normalizer": None}, "not one of BERT"),
        ({"added_tokens": [{"content": "<x>", "id": 9, "lstrip": True}]}, "<x>"),
        ({"post_processor": {"type": "ByteLevel"}}, "ByteLevel"),
    ],
)
def test_other_tokenizers_are_refused_by_name(
    jvm: Jvm, tokenizer_file: Callable[..., Path], tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    content = json.loads(tokenizer_file().read_text("utf-8")) | change
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(ArtifactError, match=what):
        WordPiece(content)
    found = jvm.ask("encode", tokenizer=str(tmp_path / "tokenizer.json"), text="a")
    assert found["error"] == "ArtifactError" and what in found["message"]
