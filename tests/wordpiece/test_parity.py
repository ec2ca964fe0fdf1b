"""Both tokenizers against Hugging Face's fast BERT tokenizer: ids and offsets, for everything that people type."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import unicode_texts

from edgebert.artifact import Artifact
from edgebert.errors import DataError
from edgebert.model import Model
from edgebert.tokenization import load_tokenizer
from edgebert.wordpiece import WordPiece

#: Keyword arguments of `BertTokenizerFast`, by the name of the variant.
VARIANTS: dict[str, dict[str, Any]] = {
    "uncased": {},
    "cased": {"do_lower_case": False},
    "uncased, accents kept": {"strip_accents": False},
    "cased, accents stripped": {"do_lower_case": False, "strip_accents": True},
    "uncased, ideographs in words": {"tokenize_chinese_chars": False},
}


@dataclass(frozen=True)
class Three:
    """Hugging Face's, ours with `tokenizers`, and ours without."""

    theirs: Any
    ours: Any
    plain: WordPiece

    def check(self, texts: Iterable[str]) -> int:
        """Asserts that all three agree on every text; returns how many there were."""
        count = 0
        for text in texts:
            count += 1
            found = self.theirs(text, return_offsets_mapping=True)
            expected = found["input_ids"], found["offset_mapping"]
            for tokenizer in (self.ours, self.plain):
                encoding = tokenizer.encode(text)
                assert (encoding.ids, [tuple(pair) for pair in encoding.offsets]) == expected, repr(text[:200])
        return count


def cased(pieces: list[str]) -> list[str]:
    """A cased vocabulary: all pieces in capitals too, and the characters that change when they are normalized."""
    known = dict.fromkeys(pieces)
    for piece in pieces:
        if not piece.startswith("["):
            known |= dict.fromkeys((piece.capitalize(), piece.upper(), f"##{piece}" if len(piece) == 1 else piece))
    single = [*"éÅñüИ가각힣豈ΣσςİIıi", *sorted(unicode_texts.tables.characters(unicode_texts.tables.MOVABLE))]
    return list(known | dict.fromkeys([*single, *(f"##{letter}" for letter in single)]))


@pytest.fixture(scope="module")
def three(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Three]:
    from transformers import BertTokenizerFast

    content = json.loads((shared / "models/minilm-clinc150/tokenizer.json").read_text("utf-8"))
    pieces = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)

    def make(variant: str) -> Three:
        folder = tmp_path_factory.mktemp("tokenizer")
        chosen = pieces if variant == "uncased" else cased(pieces)
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in chosen), "utf-8")
        theirs = BertTokenizerFast(str(folder / "vocab.txt"), **VARIANTS[variant])
        theirs.save_pretrained(folder)
        return Three(theirs, load_tokenizer(folder), WordPiece.from_file(folder / "tokenizer.json"))

    return make


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_tenth_of_all_strings(three: Callable[[str], Three], variant: str) -> None:
    assert three(variant).check(unicode_texts.all_texts()[::10]) == unicode_texts.COUNT // 10


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_twenty_thousand_strings_and_the_real_texts(three: Callable[[str], Three], shared: Path, variant: str) -> None:
    tokenizers = three(variant)
    assert tokenizers.check(unicode_texts.all_texts()) == 20_000
    texts = unicode_texts.corpus(shared)
    assert len(texts) > 39_000
    assert tokenizers.check(texts if variant == "uncased" else texts[::10]) > 3_900


@pytest.mark.slow
@pytest.mark.parametrize("kind", unicode_texts.megabytes())
def test_a_megabyte(three: Callable[[str], Three], kind: str) -> None:
    text = unicode_texts.megabytes()[kind]
    assert len(text) >= 890_000
    three("uncased").check([text])


def test_tokens_of_a_model_without_tokenizers_are_plain(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared / "models/minilm-clinc150"
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # what an interpreter without it says to `import`
    found = load_tokenizer(folder, 16)
    assert isinstance(found, WordPiece)
    monkeypatch.undo()
    assert found.encode("wake me at seven " * 9).ids == load_tokenizer(folder, 16).encode("wake me at seven " * 9).ids


def test_a_lone_surrogate_is_refused_alike(tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before either tokenizer sees it: `tokenizers` itself would raise a TypeError, plain Python nothing at all."""
    told = []
    for hidden in (False, True):
        if hidden:
            monkeypatch.setitem(sys.modules, "tokenizers", None)
        with Model.load(tiny_artifact.path) as model:
            assert isinstance(model.tokenizer, WordPiece) == hidden
            for text in ("\ud83d", "light \ud83d please", "light\udc00"):
                with pytest.raises(DataError, match="lone surrogate") as error:
                    model.predict(text)
                told.append((hidden, str(error.value)))
    assert [text for hidden, text in told if hidden] == [text for hidden, text in told if not hidden]
