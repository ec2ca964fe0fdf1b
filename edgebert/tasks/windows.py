"""Long texts as windows of tokens that overlap, and spans of tokens as spans of characters.

A window begins at a word's first piece, so that its own text would be tokenized to the same ids. Each piece is owned
by the window in which it has the most context on its scarcer side ("max context", Devlin et al. 2019, `run_squad`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebert.tasks import Encoded

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Pieces:
    """A whole text as pieces, without special tokens: ids, characters (start, end), number of the word."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    words: list[int]


def pieces_of(tokenizer: Tokenizer, text: str, words: Sequence[tuple[int, int]] | None = None) -> Pieces:
    """The pieces of a text.

    Args:
        tokenizer: without truncation.
        text: any length.
        words: characters (start, end) of its words, ascending; default: the tokenizer's own words.
    """
    found = tokenizer.encode(text, add_special_tokens=False)
    if words is None:
        return Pieces(found.ids, found.offsets, [-1 if word is None else word for word in found.word_ids])
    numbers, at = [], 0
    for start, _ in found.offsets:
        while at + 1 < len(words) and words[at + 1][0] <= start:
            at += 1
        numbers.append(at)
    return Pieces(found.ids, found.offsets, numbers)


def windows(
    tokenizer: Tokenizer, pieces: Pieces, max_length: int, stride: int | None, first: Sequence[int] | None = None
) -> list[Encoded]:
    """Windows of at most `max_length` tokens over a text; at least one.

    Args:
        tokenizer: whose special tokens frame each window.
        pieces: of the text.
        max_length: tokens of a window, special ones included.
        stride: tokens that neighbours share; default: a quarter of `max_length`.
        first: pieces that stand before the text in every window (a question); cut to half of a window.
    """
    frame = tokenizer.encode("").ids if first is None else tokenizer.encode("", "").ids
    before, between, after = frame[:1], frame[1:-1], frame[-1:]
    if first is None:
        before, between = [*before, *between], []
    question = list(first or ())[: max(1, max_length // 2 - len(frame))]
    cut = len(question) < len(first or ())
    head = [*before, *question, *between]
    room = max(1, max_length - len(head) - len(after))
    shared = min(max_length // 4 if stride is None else stride, room - 1)
    types = [0] * len(head)
    second = 0 if first is None else 1
    made = []
    for start, end in _cuts(pieces.words, room, shared):
        blank = [(0, 0)] * len(head), [-1] * len(head)
        made.append(
            Encoded(
                [*head, *pieces.ids[start:end], *after],
                [*types, *[second] * (end - start + len(after))],
                cut,
                [*blank[0], *pieces.offsets[start:end], *[(0, 0)] * len(after)],
                [*blank[1], *pieces.words[start:end], *[-1] * len(after)],
            )
        )
    return made


def _cuts(words: Sequence[int], room: int, shared: int) -> list[tuple[int, int]]:
    """Where windows begin and end, in pieces: between words, unless one word alone is longer than a window."""
    found, start, end = [], 0, 0
    while True:
        # Each window ends behind the one before it, or a long word would make windows that add nothing.
        end = _between_words(words, min(start + room, len(words)), max(start, end))
        found.append((start, end))
        if end == len(words):
            return found
        start = _between_words(words, max(end - shared, start + 1), start)


def _between_words(words: Sequence[int], at: int, after: int) -> int:
    """The nearest place before or at `at`, and after `after`, where a word begins; `at` where there is none."""
    place = at
    while after < place < len(words) and words[place] == words[place - 1]:
        place -= 1
    return place if place > after else at


def owned(made: Sequence[Encoded]) -> list[tuple[int, int]]:
    """For each window the tokens (start, end) that it owns: every piece of the text in exactly one window."""
    bodies = [_body(window) for window in made]
    if len(made) == 1:
        return bodies
    borders = []
    for (left, left_body), (right, right_body) in zip(
        zip(made, bodies, strict=True), zip(made[1:], bodies[1:], strict=False), strict=False
    ):
        shared = _overlap(left, left_body, right, right_body)
        # In the middle of what they share both sides have the same context.
        borders.append((left_body[1] - shared + (shared + 1) // 2, right_body[0] + (shared + 1) // 2))
    starts = [bodies[0][0], *[right for _, right in borders]]
    ends = [*[left for left, _ in borders], bodies[-1][1]]
    return list(zip(starts, ends, strict=True))


def _body(window: Encoded) -> tuple[int, int]:
    """The tokens (start, end) that are of the text."""
    inside = [index for index, word in enumerate(window.words) if word >= 0]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)


def _overlap(left: Encoded, left_body: tuple[int, int], right: Encoded, right_body: tuple[int, int]) -> int:
    """How many tokens the end of one window and the beginning of the next have in common."""
    first = right.offsets[right_body[0]]
    tail = [index for index in range(*left_body) if left.offsets[index] >= first]
    # Pieces of one character have the same offsets: the ids tell where the next window begins among them.
    for count in range(len(tail), 0, -1):
        end, begin = left_body[1], right_body[0]
        if left.input_ids[end - count : end] == right.input_ids[begin : begin + count]:
            return count
    return 0


def whole(text: str, end: int) -> int:
    """`end` moved over what belongs to the character before it: marks, joined characters, selectors, skin tones.

    Tokenizers drop some of these, so that the offset of a piece may end within what a reader sees as one character.
    """
    while 0 < end < len(text):
        following = text[end]
        joined = text[end - 1] == "\u200d" and unicodedata.category(following) not in ("Zs", "Cc")
        modifier = "\U0001f3fb" <= following <= "\U0001f3ff" or following == "\u200d"
        flag = _is_flag(following) and _flags_before(text, end) % 2 == 1
        if not (joined or modifier or flag or unicodedata.category(following) in ("Mn", "Mc", "Me")):
            break
        end += 1
    return end


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flags_before(text: str, end: int) -> int:
    count = 0
    while count < end and _is_flag(text[end - 1 - count]):
        count += 1
    return count
