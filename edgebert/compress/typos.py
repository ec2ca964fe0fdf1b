"""Slips as they happen on a phone's keyboard: a neighbouring key, two letters swapped, one doubled, one dropped.

One slip in a word, each kind as likely as the others where the word allows it (the kinds of Damerau 1964, "A technique
for computer detection and correction of spelling errors", with what touch adds: the key beside, and the key twice).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

#: The rows of QWERTY as phones show them, with how far each is moved to the right, in keys.
_ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.5), ("zxcvbnm", 1.5))
#: Keys are neighbours when their middles are no farther apart, in keys.
_NEAR = 1.2

#: Shorter words are left alone: one slip makes another word of them.
SHORTEST = 3


def _neighbours() -> dict[str, str]:
    places = {key: (column + moved, row) for row, (keys, moved) in enumerate(_ROWS) for column, key in enumerate(keys)}
    found = dict.fromkeys(places, "")
    for (one, (x, y)), (other, (u, v)) in product(places.items(), repeat=2):
        if one != other and (x - u) ** 2 + (y - v) ** 2 <= _NEAR**2:
            found[one] += other
    return found


#: Letter -> the letters on the keys around it.
NEIGHBOURS = _neighbours()


def typo(word: str, draw: Callable[[], float]) -> str:
    """The word with one slip in it; the word itself where it is short, or no slip would show.

    Args:
        word: letters; capitals stay capitals.
        draw: numbers in [0, 1).
    """
    if len(word) < SHORTEST:
        return word
    kind, place = int(draw() * len(_SLIPS)), draw()
    for more in range(len(_SLIPS)):
        slipped = _SLIPS[(kind + more) % len(_SLIPS)](word, place, draw)
        if slipped != word:
            return slipped
    return word


def _beside(word: str, place: float, draw: Callable[[], float]) -> str:
    at = int(place * len(word))
    keys = NEIGHBOURS.get(word[at].lower(), word[at])
    key = keys[int(draw() * len(keys))]
    return word[:at] + (key.upper() if word[at].isupper() else key) + word[at + 1 :]


def _swapped(word: str, place: float, draw: Callable[[], float]) -> str:
    at = int(place * (len(word) - 1))
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _doubled(word: str, place: float, draw: Callable[[], float]) -> str:
    at = int(place * len(word))
    return word[: at + 1] + word[at:]


def _dropped(word: str, place: float, draw: Callable[[], float]) -> str:
    at = int(place * len(word))
    return word[:at] + word[at + 1 :]


_SLIPS = (_beside, _swapped, _doubled, _dropped)
