"""Words that were tokenized before: the same token ids in a quarter of the time.

`tokenizers` takes some 20 µs for a short sentence, as long as LiteRT takes for a small model. BERT's WordPiece splits
every word on its own, so the pieces of a word can be kept. That a text falls into words at spaces is this simple for
printable ASCII alone; every other text, every pair, and every tokenizer that is not BERT's, goes the
long way. A word here is what stands between spaces, punctuation included: nothing in it depends on its neighbours.
Pieces always come from the tokenizer itself: nothing here knows a vocabulary.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Words that are kept; then it begins anew. About 6 MB.
MOST = 20_000

#: Longer ones are rare, and would be the way to fill the memory.
LONGEST_WORD = 40


class Tokens(NamedTuple):
    """What tasks that truncate read of a `tokenizers.Encoding`, under its names."""

    ids: list[int]
    type_ids: list[int]
    overflowing: bool


class WordCache:
    """A tokenizer, of which `encode` is quick for single texts of printable ASCII. Safe from several threads."""

    def __init__(self, tokenizer: Tokenizer, first: int, last: int, added: tuple[str, ...], max_length: int) -> None:
        self._tokenizer = tokenizer
        self._frame = (first, last)
        self._added = added
        self._room = max_length - 2
        self._pieces: dict[str, list[int]] = {}

    def encode(self, text: str, pair: str | None = None, **options: Any) -> Any:
        """As `tokenizers.Tokenizer.encode`: ids, token types, and whether something was cut off."""
        if pair is not None or options or not (text.isascii() and text.isprintable()):
            return self._tokenizer.encode(text, pair, **options)
        for token in self._added:  # "[SEP]" within a text is one token, not five words
            if token in text:
                return self._tokenizer.encode(text)
        first, last = self._frame
        ids, known = [first], self._pieces
        for word in text.split():
            ids += known.get(word) or self._learn(word)
        cut = len(ids) > self._room + 1
        if cut:
            del ids[self._room + 1 :]
        ids.append(last)
        return Tokens(ids, [0] * len(ids), cut)

    def _learn(self, word: str) -> list[int]:
        pieces: list[int] = self._tokenizer.encode(word, add_special_tokens=False).ids
        if len(word) <= LONGEST_WORD:
            if len(self._pieces) >= MOST:
                self._pieces = {}
            self._pieces[word] = pieces
        return pieces

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def cached(tokenizer: Tokenizer, max_length: int) -> Any:
    """The tokenizer with its words kept, where it is BERT's and truncates at `max_length`; else itself."""
    parts = [type(getattr(tokenizer, part, None)).__name__ for part in ("normalizer", "pre_tokenizer", "model")]
    if parts != ["BertNormalizer", "BertPreTokenizer", "WordPiece"]:
        return tokenizer
    added = list(tokenizer.get_added_tokens_decoder().values())
    if any(token.normalized or not token.special or token.lstrip or token.rstrip for token in added):
        return tokenizer
    frame, probe = tokenizer.encode("").ids, tokenizer.encode("a")
    if len(frame) != 2 or probe.ids != [frame[0], *probe.ids[1:-1], frame[1]] or any(probe.type_ids):
        return tokenizer
    return WordCache(tokenizer, frame[0], frame[1], tuple(token.content for token in added), max_length)


def version_of(tokenizer: object) -> str:
    """Package and version of what makes the token ids: `tokenizers 0.22.2`."""
    inner = tokenizer._tokenizer if isinstance(tokenizer, WordCache) else tokenizer
    package = type(inner).__module__.partition(".")[0]
    return f"{package} {getattr(sys.modules.get(package), '__version__', '')}".strip()
