"""BERT's tokenizer in plain Python: for machines that `tokenizers` has no wheel for.

The same ids, offsets and word numbers as `tokenizers` gives for a `tokenizer.json` of the BERT kind: BertNormalizer,
BertPreTokenizer, WordPiece (Devlin et al. 2019; Wu et al. 2016 for the greedy longest match). The classes offer what
this project uses of `tokenizers.Tokenizer`, under its names. Other kinds of tokenizer are refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

from edgebert.errors import ArtifactError
from edgebert.letters import Letters

_Piece = tuple[int, tuple[int, int], int]  # id, characters, word

#: What is cut by itself: no word goes on behind a space. Short ones repeat, and are cut once.
_CHUNK = re.compile("[^ ]+")
_REPEATED = 64


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
            self._longest_piece = max(map(len, self._vocabulary))
            self._added = _added_tokens(content)
            self._single, self._pair = _templates(content["post_processor"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"tokenizer.json is not one of BERT: {error} is missing", "install tokenizers"
            ) from error
        self._max_length: int | None = None
        self._split = re.compile("|".join(map(re.escape, sorted(self._added, key=len, reverse=True))) or r"(?!)")
        self._letters = Letters(
            clean=normalizer["clean_text"],
            ideographs=normalizer["handle_chinese_chars"],
            lower=normalizer["lowercase"],
            strip=normalizer["lowercase"] if normalizer["strip_accents"] is None else normalizer["strip_accents"],
        )
        self._cut_known = lru_cache(maxsize=20_000)(self._cut_chunk)

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
        template = self._single if pair is None else self._pair
        room = None
        if self._max_length is not None:
            room = max(0, self._max_length - (template.specials if add_special_tokens else 0))
        # One piece more than there is room for says that a text is cut; of a pair it matters which one is longer.
        most = None if room is None or pair is not None else room + 1
        texts = [list(islice(self._pieces(text), most)) for text in ((sequence,) if pair is None else (sequence, pair))]
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
        for match in chain(self._split.finditer(text), (None,)):
            end = len(text) if match is None else match.start()
            for found in _CHUNK.finditer(text, at, end):
                start, chunk = found.start(), found.group()
                pieces, words = self._cut_known(chunk) if len(chunk) <= _REPEATED else self._cut_chunk(chunk)
                for piece, first, last, number in pieces:
                    yield piece, (start + first, start + last), word + number
                word += words
            if match is not None:
                yield self._added[match.group()], match.span(), word
                word, at = word + 1, match.end()

    def _cut_chunk(self, chunk: str) -> tuple[list[tuple[int, int, int, int]], int]:
        """(id, first character, end, word) of each piece of a stretch without spaces; and how many words it has."""
        pieces, word = [], 0
        for letters, spans in self._letters.words(chunk):
            for piece, first, last in self._cut_word(letters):
                pieces.append((piece, spans[first][0], spans[last - 1][1], word))
            word += 1
        return pieces, word

    def _cut_word(self, word: str) -> Sequence[tuple[int, int, int]]:
        """(id, first letter, end letter) of each piece; the unknown piece where there are none."""
        found = None
        if len(word) <= self._longest:
            found = cut_word(word, self._vocabulary, self._prefix, self._longest_piece)
        return ((self._unknown, 0, len(word)),) if found is None else found


def cut_word(
    word: str, vocabulary: Mapping[str, int], prefix: str, longest: int, refused: Callable[[], bool] | None = None
) -> list[tuple[int, int, int]] | None:
    """(id, first letter, end letter) of a word's pieces, always the longest that fits; None where there is none.

    Args:
        word: its letters, as the normalizer leaves them.
        vocabulary: piece -> id.
        prefix: of pieces that go on with a word.
        longest: letters of the longest piece.
        refused: asked for each piece of several letters that fits; where it says so, a shorter one is looked for.
    """
    found, start = [], 0
    while start < len(word):
        before = prefix if start else ""
        for end in range(min(len(word), start + longest), start, -1):
            piece = vocabulary.get(before + word[start:end])
            if piece is not None and (refused is None or end == start + 1 or not refused()):
                found.append((piece, start, end))
                start = end
                break
        else:
            return None
    return found


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
