"""Token ids as words, and words as token ids: what augmentation changes a text by."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from edgebert.compress.folder import special_tokens, tokenizer_json
from edgebert.compress.vocabulary import all_pieces
from edgebert.errors import RecipeError
from edgebert.wordpiece import cut_word

#: Roles of special tokens that stand in a text like a word.
_IN_TEXT = ("unk_token", "mask_token")


class Word(NamedTuple):
    """A word of a row of token ids: the row's number, its tokens [first, end), and its letters."""

    row: int
    first: int
    end: int
    letters: str


@dataclass(frozen=True)
class Lexicon:
    """The pieces of a WordPiece tokenizer.

    Args:
        ids: piece -> id.
        names: id -> piece.
        prefix: what pieces begin with that go on with a word.
        special: ids that are no words.
        frame: those of them that stand around texts.
        mask: the id of [MASK], where there is one.
        longest: letters of the longest piece.
    """

    ids: Mapping[str, int]
    names: Sequence[str]
    prefix: str
    special: Collection[int]
    frame: Collection[int]
    mask: int | None
    longest: int

    def words(self, row: int, ids: Sequence[int]) -> list[Word]:
        """The words of a text, in order; special tokens, and the rest of a word that was cut before, are none."""
        found: list[Word] = []
        whole = False
        for at, token in enumerate(ids):
            piece = self.names[token]
            if token in self.special:
                whole = False
            elif len(piece) > len(self.prefix) and piece.startswith(self.prefix):
                if whole:
                    before = found[-1]
                    found[-1] = Word(row, before.first, at + 1, before.letters + piece[len(self.prefix) :])
            else:
                found.append(Word(row, at, at + 1, piece))
                whole = True
        return found

    def cut(self, letters: str, refused: Callable[[], bool] | None = None) -> list[int] | None:
        """A word's pieces (see `cut_word`); None where it cannot be spelled."""
        found = cut_word(letters, self.ids, self.prefix, self.longest, refused)
        return None if found is None else [piece for piece, _, _ in found]

    def whole_words(self) -> list[int]:
        """The ids of pieces that are words of two letters or more."""
        return [
            number
            for number, piece in enumerate(self.names)
            if number not in self.special and len(piece) > 1 and piece.isalpha()
        ]


def lexicon(folder: Path) -> Lexicon:
    """The lexicon of a model's folder.

    Raises:
        RecipeError: its tokenizer is of another kind (BPE, Unigram …).
    """
    tokenizer: dict[str, Any] = tokenizer_json(folder)
    kind = tokenizer["model"].get("type", "unknown")
    if kind != "WordPiece":
        raise RecipeError(f"distill.augment needs a WordPiece tokenizer, and this one is {kind}", "leave it out")
    pieces = all_pieces(tokenizer)
    names = [""] * (max(pieces.values()) + 1)
    for piece, number in pieces.items():
        names[number] = piece
    roles = special_tokens(folder, tokenizer)
    special = {token["id"] for token in tokenizer["added_tokens"]} | {pieces[token] for token in roles.values()}
    return Lexicon(
        ids=tokenizer["model"]["vocab"],
        names=names,
        prefix=tokenizer["model"]["continuing_subword_prefix"],
        special=frozenset(special),
        frame=frozenset(special - {pieces[roles[role]] for role in _IN_TEXT if role in roles}),
        mask=pieces.get(roles.get("mask_token", "")),
        longest=max(map(len, tokenizer["model"]["vocab"])),
    )
