"""BertNormalizer and BertPreTokenizer of `tokenizers` in plain Python: text to words, letter by letter.

Every letter keeps the character of the text that it came from, so that offsets survive what normalization does:
characters removed, taken apart (NFD), lowered, and, where combining marks stand in another order than Unicode's
canonical one, moved.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from edgebert import unicode_tables as tables

_Span = tuple[int, int]


class Letters:
    """Words of a text, as the four settings of BertNormalizer say."""

    def __init__(self, *, clean: bool, ideographs: bool, lower: bool, strip: bool) -> None:
        self._clean, self._lower, self._strip = clean, lower, strip
        self._removed, self._space = tables.characters(tables.REMOVED), tables.characters(tables.WHITESPACE)
        self._between = self._space | tables.characters(tables.LINES)
        self._marks, self._punctuation = tables.characters(tables.MARKS), tables.characters(tables.PUNCTUATION)
        self._alone = tables.characters(tables.IDEOGRAPHS) if ideographs else frozenset()
        self._whole = tables.characters(tables.WHOLE)
        self._movable = tables.characters(tables.MOVABLE)
        self._unsorted = re.compile(f"[{''.join(self._movable | tables.characters(tables.WITH_MOVABLE))}]")
        self._lowered = tables.lowered()
        self._kinds: dict[str, tuple[str, str]] = {}

    def words(self, text: str) -> Iterator[tuple[str, list[_Span]]]:
        """Each word as its letters and, for each letter, the characters (start, end) of `text`."""
        letters: list[str] = []
        spans: list[_Span] = []
        sort = self._strip and self._unsorted.search(text)
        for index, character in self._sorted(text) if sort else enumerate(text):
            kind, normal = self.word_part(character)
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

    def word_part(self, character: str) -> tuple[str, str]:
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
            normal = "".join(letter for letter in self._apart(character) if letter not in self._marks)
        if self._lower:
            normal = "".join(self._lowered.get(letter) or letter.lower() for letter in normal)
        if character in self._alone or normal in self._punctuation:
            return "alone", normal
        if normal in self._between:
            return "space", ""
        return ("letter", normal) if normal else ("nothing", "")

    def _apart(self, character: str) -> str:
        """NFD of one character."""
        return character if character in self._whole else unicodedata.normalize("NFD", character)

    def _sorted(self, text: str) -> Iterable[tuple[int, str]]:
        """The characters taken apart and in canonical order, each with the index that `tokenizers` gives it.

        Marks between two letters are sorted by their class. What then stands in a place has the index of the
        character that stood there before: `tokenizers` counts places, it does not follow the marks.
        """
        parts: list[tuple[int, str, bool]] = []  # class, letter, whether a character of the text begins here
        run: list[tuple[int, str, bool]] = []
        indices = []
        for index, character in enumerate(text):
            if self._clean and character in self._removed and character not in self._space:
                continue
            indices.append(index)
            for number, letter in enumerate(self._apart(character)):
                order = unicodedata.combining(letter) if letter in self._marks or letter in self._movable else 0
                if order == 0:
                    parts += sorted(run, key=_class)
                    run = []
                    parts.append((0, letter, number == 0))
                else:
                    run.append((order, letter, number == 0))
        parts += sorted(run, key=_class)
        found, place = [], -1
        for _, letter, begins in parts:
            place += begins
            found.append((indices[max(place, 0)], letter))
        return found


def _class(part: tuple[int, str, bool]) -> int:
    return part[0]
