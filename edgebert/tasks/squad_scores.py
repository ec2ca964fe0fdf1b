"""Exact match and F1 of answers as the official SQuAD 1.1 and 2.0 scripts define them.

Rajpurkar et al. 2016, arXiv:1606.05250; Rajpurkar et al. 2018, arXiv:1806.03822.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case, without punctuation and articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(found: str, truth: Sequence[str]) -> float:
    """1 where the answer equals one of the right ones (none of them: the empty answer), else 0."""
    return float(any(normalized(found) == normalized(text) for text in truth or ("",)))


def f1(found: str, truth: Sequence[str]) -> float:
    """The largest token F1 with one of the right answers, 0 to 1."""
    return max(_f1(normalized(found).split(), normalized(text).split()) for text in truth or ("",))


def _f1(found: list[str], truth: list[str]) -> float:
    if not found or not truth:
        return float(found == truth)
    same = sum((Counter(found) & Counter(truth)).values())
    return 2.0 * same / (len(found) + len(truth))
