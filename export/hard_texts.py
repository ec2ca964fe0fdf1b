"""Texts that tokenizers could disagree about: what a tokenizer in a graph is compared on, beside the user's own."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from edgebert import unicode_tables as tables

#: Texts of random parts.
MIXTURES = 1_500

#: Sixteen characters together, which is what Unicode's blocks are made of; the ideographs of planes 2 and 3 sampled.
_RUNS = (range(0, 0xD800, 16), range(0xE000, 0x20000, 16), range(0x20000, 0x33500, 512), range(0xE0000, 0xE0200, 16))

_JOINED = "👩\u200d👩\u200d👧\u200d👦 👍🏽 🏳️\u200d🌈 🇩🇪🇫🇷 1️⃣ 🧑🏿\u200d🚀 ☕ cafe☕ ☕s ❤️"
_RIGHT_TO_LEFT = "שָׁלוֹם עולם بِسْمِ ٱللَّٰهِ سلام\u200f \u202bאב\u202c \u2067ab\u2069 ܫܠܡܐ ߒߞߏ"
_MARKED = "cafe\u0301 e\u0323\u0301 e\u0301\u0323 Ångström İstanbul ẞ ß ﬁne ǆ Σας ὈΔΥΣΣΕΎΣ"
_SCRIPTS = "한국어 가각힣 हिन्दी ไทย 東京 ひらがな ქართული አማርኛ"
_PUNCTUATED = "don't U.S.A. 3.14 a-b #tag @user … — «x» ¿qué? 「東京」 ؟ ، ; \u037e a_b $5 2×3 x² ½"


def texts(specials: Iterable[str] = ()) -> list[str]:
    """Several thousand texts, always the same, each once.

    Args:
        specials: special tokens, which texts have written out, whole and in part.
    """
    found = [*_runs(), *_single(), *_words(), *_written(list(specials)), *_mixed(list(specials))]
    # Marks that are not dropped and that Unicode orders, in both orders.
    marks = sorted(tables.characters(tables.MOVABLE))
    found += [f"a{a}{b} a{b}{a}" for a, b in zip(marks, marks[1:] + marks[:1], strict=True)]
    found += ["a\u302e\U0001d165 a\U0001d165\u302e"]
    return [text for text in dict.fromkeys(found) if text.strip()]


def of_each_length(given: Sequence[str], longest: int) -> list[str]:
    """The words of some texts, as a text of one word, of two, and so on up to a few more than `longest`."""
    words = [word for text in given[:longest] for word in text.split()] or ["a"]
    row = [words[number % len(words)] for number in range(longest + 8)]
    return [" ".join(row[:count]) for count in range(1, len(row) + 1)]


def _runs() -> Iterator[str]:
    for starts in _RUNS:
        for start in starts:
            run = "".join(map(chr, range(start, start + 16)))
            yield f"so {run} o{run[3]}n {run[-1]}"


def _single() -> Iterator[str]:
    """Characters that vanish, divide or stand alone, by themselves and within a word."""
    odd = {*map(chr, range(0x100)), *"\u2028\u2029\u2060\ufeff\ufffd\ufffe\uffff\u3000\u200b\u200d\u00ad"}
    odd |= set(tables.lowered()) | tables.characters(tables.WHOLE) | tables.characters(tables.LINES)
    for character in sorted(odd):
        yield from (character, f"on{character}off", f"on {character} off")


def _words() -> Iterator[str]:
    """Words about as long as BERT takes, of letters of one to four bytes."""
    for letter in "aéع漢가😀!":
        yield from (f"x {letter * size} y" for size in (50, 99, 100, 101, 102, 400))
    yield from (f"{'a' * 99}\u0301{'b' * number}" for number in range(4))


def _written(specials: Sequence[str]) -> Iterator[str]:
    for token in specials:
        middle = len(token) // 2
        first, last = token[:middle], token[middle:]
        yield from (token, f"a {token} b", f"a{token}b", f"{token}{token}", f"[{token}]", token.lower(), f"##{token}")
        yield from (f"{first} {last}", f"{first}\0{last}", f"{first}\u200b{last}", f"{first}\ue000{last}", first, last)
        yield f"é{token}\u0301x"
    yield "".join(specials) or "[MASK]"
    yield "\U000f0000 \U000f0001x \U000f0004 \ue000 \ue001 a\ue000b"


def _mixed(specials: Sequence[str]) -> Iterator[str]:
    draw = random.Random(29)
    whole = [part for line in (_JOINED, _RIGHT_TO_LEFT, _MARKED, _SCRIPTS, _PUNCTUATED) for part in line.split(" ")]
    marks = sorted(tables.characters(tables.MARKS))
    loose = (*marks[::9], *map(chr, range(0x20)), *"\x7f\x85\xad\u200b\u200d\ufe0f\ufeff\ufffd\u2028", *specials)
    for _ in range(MIXTURES):
        parts = (
            draw.choice(whole if draw.random() < 0.6 else loose) + draw.choice((" ", "", "", ", ", "a"))
            for _ in range(draw.randint(1, 25))
        )
        yield "".join(parts)
