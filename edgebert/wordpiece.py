"""BERT's tokenizer in plain Python: for machines that `tokenizers` has no wheel for.

The same ids, offsets and word numbers as `tokenizers` gives for a `tokenizer.json` of the BERT kind: BertNormalizer,
BertPreTokenizer, WordPiece (Devlin et al. 2019; Wu et al. 2016 for the greedy longest match). The classes offer what
this project uses of `tokenizers.Tokenizer`, under its names. Other kinds of tokenizer are refused by name.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgebert.errors import ArtifactError
from edgebert.unicode_tables import IDEOGRAPHS, MARKS, PUNCTUATION, REMOVED, WHITESPACE, characters

_Piece = tuple[int, tuple[int, int], int]  # id, characters, word


@dataclass(frozen=True)
class Encoding:
    """One text (or pair) as tokens; the names are those of `tokenizers.Encoding`."""

    ids: list[int]
    type_ids: list[int]
    offsets: list[tuple[int, int]]
    word_ids: list[int | None]
    sequence_ids: list[int | None]
    overflowing: bool


@dataclass(frozen=True)
class _Template:
    """A text's frame: ids before, between and after; 0 and 1 stand for the texts."""

    parts: tuple[tuple[str, int, int], ...]  # ("special", id, type) or ("text", number, type)

    @property
    def specials(self) -> int:
        return sum(kind == "special" for kind, _, _ in self.parts)


class WordPiece:
    """A tokenizer read from the content of a `tokenizer.json`.

    Raises:
        ArtifactError: it is not a BERT WordPiece tokenizer, or uses an option that is not supported.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        try:
            model, normalizer = content["model"], content["normalizer"]
            _expect(model.get("type", "WordPiece"), "WordPiece", "model")
            _expect(normalizer["type"], "BertNormalizer", "normalizer")
            _expect(content["pre_tokenizer"]["type"], "BertPreTokenizer", "pre-tokenizer")
            self._vocabulary: dict[str, int] = model["vocab"]
            self._unknown = self._vocabulary[model["unk_token"]]
            self._prefix: str = model["continuing_subword_prefix"]
            self._longest: int = model["max_input_chars_per_word"]
            self._added = _added_tokens(content)
            self._single, self._pair = _templates(content["post_processor"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"tokenizer.json is not one of BERT: {error} is missing", "install tokenizers"
            ) from error
        self._max_length: int | None = None
        self._split = re.compile("|".join(map(re.escape, sorted(self._added, key=len, reverse=True))) or r"(?!)")
        self._letters = _Letters(
            clean=normalizer["clean_text"],
            ideographs=normalizer["handle_chinese_chars"],
            lower=normalizer["lowercase"],
            strip=normalizer["lowercase"] if normalizer["strip_accents"] is None else normalizer["strip_accents"],
        )
        # Words repeat, and the same letters are always cut alike.
        self._cut = lru_cache(maxsize=20_000)(self._cut_word)

    @classmethod
    def from_file(cls, path: str | Path) -> WordPiece:
        """Of a file. Raises ArtifactError."""
        try:
            return cls(json.loads(Path(path).read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}", "save it again") from error

    def enable_truncation(self, max_length: int) -> None:
        """Cut to `max_length` tokens, special ones included; of a pair the longer text first."""
        self._max_length = max_length

    def no_truncation(self) -> None:
        """Cut nothing."""
        self._max_length = None

    def no_padding(self) -> None:
        """There is none anyway."""

    def get_vocab_size(self) -> int:
        """Pieces, added ones included."""
        return len(set(self._vocabulary) | set(self._added))

    def encode(self, sequence: str, pair: str | None = None, add_special_tokens: bool = True) -> Encoding:
        """Tokens of a text, or of a pair of texts; offsets count characters of each text."""
        texts = [list(self._pieces(text)) for text in ((sequence,) if pair is None else (sequence, pair))]
        template = self._single if pair is None else self._pair
        room = None
        if self._max_length is not None:
            room = max(0, self._max_length - (template.specials if add_special_tokens else 0))
        lengths = _longest_first([len(text) for text in texts], room)
        cut = any(length < len(text) for length, text in zip(lengths, texts, strict=True))
        found = Encoding([], [], [], [], [], cut)
        for kind, value, type_id in template.parts:
            if kind == "special":
                if add_special_tokens:
                    _append(found, [(value, (0, 0), None)], type_id, None)
            else:
                _append(found, texts[value][: lengths[value]], type_id, value)
        return found

    def encode_batch(self, sequences: Sequence[str]) -> list[Encoding]:
        """One after another."""
        return [self.encode(text) for text in sequences]

    def _pieces(self, text: str) -> Iterator[_Piece]:
        """All pieces of a text; special tokens written in it stand for themselves, as in `tokenizers`."""
        word = at = 0
        for match in [*self._split.finditer(text), None]:
            end = len(text) if match is None else match.start()
            for letters, spans in self._letters.words(text, at, end):
                for piece, first, last in self._cut(letters):
                    yield piece, (spans[first][0], spans[last - 1][1]), word
                word += 1
            if match is not None:
                yield self._added[match.group()], match.span(), word
                word, at = word + 1, match.end()

    def _cut_word(self, word: str) -> tuple[tuple[int, int, int], ...]:
        """(id, first letter, end letter) of each piece: always the longest that the vocabulary has."""
        whole = ((self._unknown, 0, len(word)),)
        if len(word) > self._longest:
            return whole
        found, start = [], 0
        while start < len(word):
            prefix = self._prefix if start else ""
            for end in range(len(word), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    found.append((piece, start, end))
                    start = end
                    break
            else:
                return whole
        return tuple(found)


class _Letters:
    """BertNormalizer and BertPreTokenizer in one pass: words as letters with the characters they came from."""

    def __init__(self, *, clean: bool, ideographs: bool, lower: bool, strip: bool) -> None:
        self._clean, self._ideographs, self._lower, self._strip = clean, ideographs, lower, strip
        self._removed, self._space = characters(REMOVED), characters(WHITESPACE)
        self._marks, self._punctuation = characters(MARKS), characters(PUNCTUATION)
        self._alone = characters(IDEOGRAPHS) if ideographs else frozenset()
        self._kinds: dict[str, tuple[str, str]] = {}

    def words(self, text: str, start: int, end: int) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """Each word of text[start:end] as its letters and, for each letter, the characters (start, end) of `text`."""
        letters: list[str] = []
        spans: list[tuple[int, int]] = []
        for index in range(start, end):
            kind, normal = self._kind(text[index])
            if kind == "letter":
                letters += normal
                spans += [(index, index + 1)] * len(normal)
                continue
            if kind == "nothing":
                continue
            if letters:
                yield "".join(letters), spans
                letters, spans = [], []
            if kind == "alone":
                yield normal, [(index, index + 1)] * len(normal)
        if letters:
            yield "".join(letters), spans

    def _kind(self, character: str) -> tuple[str, str]:
        """`space`, `nothing`, `alone` (a word by itself) or `letter`, with what the character becomes."""
        found = self._kinds.get(character)
        if found is None:
            found = self._kinds[character] = self._look(character)
        return found

    def _look(self, character: str) -> tuple[str, str]:
        if self._clean and character in self._space:
            return "space", ""
        if self._clean and character in self._removed:
            return "nothing", ""
        normal = character
        if self._strip:
            decomposed = unicodedata.normalize("NFD", character)
            normal = "".join(letter for letter in decomposed if letter not in self._marks)
        if self._lower:
            normal = "".join(letter.lower() for letter in normal)
        if character in self._alone or normal in self._punctuation:
            return "alone", normal
        if normal.isspace():
            return "space", ""
        return ("letter", normal) if normal else ("nothing", "")


def _append(found: Encoding, pieces: Sequence[tuple[int, Any, Any]], type_id: int, sequence: int | None) -> None:
    for piece, span, word in pieces:
        found.ids.append(piece)
        found.offsets.append(span)
        found.word_ids.append(word)
    found.type_ids.extend([type_id] * len(pieces))
    found.sequence_ids.extend([sequence] * len(pieces))


def _longest_first(lengths: list[int], room: int | None) -> list[int]:
    """How many pieces of each text stay, as `tokenizers` shares `room` among two: the longer one gives way first."""
    if room is None or sum(lengths) <= room:
        return lengths
    if len(lengths) == 1:
        return [room]
    short = min(lengths)
    if 2 * short > room:
        kept_short, kept_long = room // 2, room - room // 2
    else:
        kept_short, kept_long = short, room - short
    return [kept_short, kept_long] if lengths[0] <= lengths[1] else [kept_long, kept_short]


def _expect(found: str, wanted: str, what: str) -> None:
    if found != wanted:
        raise ArtifactError(f"tokenizer.json has a {found} {what}, not BERT's {wanted}", "install tokenizers")


def _added_tokens(content: Mapping[str, Any]) -> dict[str, int]:
    """Tokens that are found in the text as they are written."""
    found = {}
    for token in content.get("added_tokens", ()):
        if token.get("normalized") or token.get("single_word") or token.get("lstrip") or token.get("rstrip"):
            raise ArtifactError(f"the added token {token['content']!r} has an option of its own", "install tokenizers")
        found[token["content"]] = token["id"]
    return found


def _templates(processor: Mapping[str, Any]) -> tuple[_Template, _Template]:
    """The frames of a single text and of a pair."""
    if processor["type"] == "BertProcessing":
        cls, sep = int(processor["cls"][1]), int(processor["sep"][1])
        single = (("special", cls, 0), ("text", 0, 0), ("special", sep, 0))
        return _Template(single), _Template((*single, ("text", 1, 1), ("special", sep, 1)))
    _expect(processor["type"], "TemplateProcessing", "post-processor")
    return _Template(_parts(processor, "single")), _Template(_parts(processor, "pair"))


def _parts(processor: Mapping[str, Any], name: str) -> tuple[tuple[str, int, int], ...]:
    parts: list[tuple[str, int, int]] = []
    for part in processor[name]:
        if "Sequence" in part:
            parts.append(("text", "AB".index(part["Sequence"]["id"]), part["Sequence"]["type_id"]))
        else:
            token = part["SpecialToken"]
            for number in processor["special_tokens"][token["id"]]["ids"]:
                parts.append(("special", number, token["type_id"]))
    return tuple(parts)
