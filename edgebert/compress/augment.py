"""More texts out of those that there are: other words, slips of the thumb, words in smaller pieces.

Works on token ids, so that nothing but them has to be held. Of each copy (or epoch) all texts are made in one pass, in
their order: what becomes of a word follows from (seed, copy, example, word), and a masked-LM always sees the same
batches, so a resumed run makes the same texts, and they have their lengths before they are read. The teacher sees them
as the student does; what it answers is what is learned.

Words by a masked-LM: TinyBERT (Jiao et al. 2020, arXiv:1909.10351). Smaller pieces: BPE-dropout (Provilkov et al. 2020,
arXiv:1910.13267), for WordPiece as MaxMatch-Dropout (Hiraoka 2022, arXiv:2209.04126): each piece that fits is refused
with a probability, and the next shorter one is tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.compress.batches import Examples, Rows
from edgebert.compress.noise import draws, mix, unit
from edgebert.compress.objectives import IGNORED, objective
from edgebert.compress.typos import typo
from edgebert.compress.words import Lexicon, Word
from edgebert.tasks import Task

if TYPE_CHECKING:
    from edgebert.compress.replacement import Replacer
    from edgebert.progress import Progress
    from edgebert.recipe import AugmentSpec

#: Texts that are worked on together.
_CHUNK = 4096
#: What keeps these hashes apart from those of `noise`.
_SALT = 0xA06


@dataclass(frozen=True)
class Augmenter:
    """Makes the copies of a split's texts.

    Args:
        spec: the shares of words.
        seed: of the training.
        lexicon: of the student's tokenizer.
        task: whose targets the texts have.
        labels: of the model, in order.
        max_length: tokens of a text; a longer one loses the end of its longest part.
        replacer: finds other words; None where none are wanted.
    """

    spec: AugmentSpec
    seed: int
    lexicon: Lexicon
    task: Task
    labels: Sequence[str]
    max_length: int
    replacer: Replacer | None = None

    def copy(self, examples: Examples, number: int, progress: Progress) -> Examples:
        """All texts changed anew, with their token types and targets."""
        ids, types, targets = Rows(examples.ids.flat.dtype.char), Rows("B"), Rows("")
        inside = _inside(self.labels) if objective(self.task).per_token else None
        for start in range(0, len(examples), _CHUNK):
            progress.step("augment", start, len(examples), f"copy {number}")
            chosen = range(start, min(start + _CHUNK, len(examples)))
            rows = [examples.ids[i].tolist() for i in chosen]
            segments = None if examples.types is None else [examples.types[i].tolist() for i in chosen]
            for i, (row, changed) in enumerate(
                zip(rows, self._changed(rows, segments, start, number), strict=True), start
            ):
                new, origin = _rebuilt(row, changed)
                kept = _kept(new, self.max_length, self.lexicon.frame)
                ids.add([new[at] for at in kept])
                if examples.types is not None:
                    types.add(examples.types[i][origin[kept]])
                targets.add(self._target(examples.targets[i], origin, kept, inside))
        progress.step("augment", len(examples), len(examples), f"copy {number}")
        return Examples(
            ids.ragged(),
            None if examples.types is None else types.ragged(),
            targets.stacked() if inside is None else targets.ragged(),
        )

    def _changed(
        self, rows: list[list[int]], types: list[list[int]] | None, start: int, copy: int
    ) -> list[list[tuple[Word, list[int]]]]:
        """For each row the words that become others, in order, with their new pieces."""
        every = [self.lexicon.words(row, ids) for row, ids in enumerate(rows)]
        words = [word for row in every for word in row]
        keys = mix(
            self.seed, _SALT, copy,
            np.repeat(np.arange(start, start + len(rows), dtype=np.uint64), [len(row) for row in every]),
            np.concatenate([np.arange(len(row), dtype=np.uint64) for row in every]),
        )  # fmt: skip
        others = self._others(rows, types, words, keys)
        slips = unit(mix(keys, 2)) < self.spec.typos
        found: list[list[tuple[Word, list[int]]]] = [[] for _ in rows]
        for index, word in enumerate(words):
            letters = others.get(index, word.letters)
            if slips[index] and letters.isalpha():
                letters = typo(letters, draws(int(keys[index])))
            pieces = self._pieces(word, letters, int(keys[index]))
            if pieces is not None:
                found[word.row].append((word, pieces))
        return found

    def _others(
        self, rows: list[list[int]], types: list[list[int]] | None, words: Sequence[Word], keys: NDArray[np.uint64]
    ) -> Mapping[int, str]:
        """The words that are replaced, by their index."""
        if self.replacer is None:
            return {}
        chosen = np.flatnonzero(unit(mix(keys, 1)) < self.spec.words).tolist()
        alone = [index for index in chosen if words[index].letters.isalpha() and len(words[index].letters) > 1]
        shares = unit(mix(keys[alone], 3))
        return dict(zip(alone, self.replacer(rows, types, [words[index] for index in alone], shares), strict=True))

    def _pieces(self, word: Word, letters: str, key: int) -> list[int] | None:
        """A word's new pieces; None where it keeps those that it has."""
        rate = self.spec.pieces
        if letters == word.letters and (not rate or len(letters) == 1):
            return None
        draw = draws(key ^ _SALT)
        return self.lexicon.cut(letters, (lambda: draw() < rate) if rate else None)

    def _target(
        self, target: Any, origin: NDArray[np.int64], kept: NDArray[np.int64], inside: NDArray[np.int64] | None
    ) -> NDArray[Any]:
        """What the new text should answer."""
        if inside is not None:
            row = target[origin]
            again = np.zeros(len(row), bool)
            again[1:] = (origin[1:] == origin[:-1]) & (row[1:] != IGNORED)
            row[again] = inside[row[again]]
            return np.asarray(row[kept], dtype=target.dtype)
        if self.task.name != "question-answering" or target[0] == IGNORED:
            return np.asarray(target)
        first, last = np.searchsorted(origin, target[0]), np.searchsorted(origin, target[1], side="right") - 1
        if first not in kept or last not in kept:  # as where the answer is not in the window
            first = last = kept[0]
        return np.array([np.searchsorted(kept, first), np.searchsorted(kept, max(first, last))], dtype=target.dtype)


def _inside(labels: Sequence[str]) -> NDArray[np.int64]:
    """For each label's number that of its later pieces, int64 [labels]: `I-` for `B-`, where there is one."""
    numbers = {label: number for number, label in enumerate(labels)}
    later = [f"I-{label[2:]}" if label.startswith("B-") else label for label in labels]
    return np.array([numbers.get(name, number) for number, name in enumerate(later)])


def _rebuilt(row: list[int], changed: Sequence[tuple[Word, list[int]]]) -> tuple[list[int], NDArray[np.int64]]:
    """The new tokens, and for each the old one in whose place it stands, int64, never falling."""
    new: list[int] = []
    origin: list[int] = []
    at = 0
    for word, pieces in changed:
        new += row[at : word.first] + pieces
        origin += range(at, word.first)
        origin += [min(word.first + number, word.end - 1) for number in range(len(pieces))]
        at = word.end
    return new + row[at:], np.array([*origin, *range(at, len(row))])


def _kept(ids: Sequence[int], most: int, frame: Any) -> NDArray[np.int64]:
    """The tokens that stay where there is room for `most`: the longest stretch of text loses its end."""
    kept = list(range(len(ids)))
    while len(kept) > most:
        ends = [at for at, token in enumerate(kept) if ids[token] in frame] + [len(kept)]
        starts = [0, *(end + 1 for end in ends[:-1])]
        first, end = max(zip(starts, ends, strict=True), key=lambda part: part[1] - part[0])
        if first == end:
            break  # there is no text left to cut
        del kept[max(first, end - (len(kept) - most)) : end]
    return np.array(kept)
