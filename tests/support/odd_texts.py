"""Texts as people write them and tokenizers stumble over them: emoji, marks, right-to-left, CJK."""

from __future__ import annotations

import random

PARTS = (
    "Paris", "the", "weather", "in", "New York", "naïve", "cafe\u0301", "e\u0301\u0302", "Ångström", "İstanbul",
    "👩\u200d👩\u200d👧\u200d👦", "👍🏽", "🏳️\u200d🌈", "🇩🇪🇫🇷", "1️⃣", "☃", "שלום", "עולם", "בְּרֵאשִׁית", "مرحبا", "بِسْمِ",
    "東京", "日本語", "漢字", "한국어",
    "ひらがな", "हिन्दी", "ไทย", "don't", "U.S.A.", "3.14", "a-b", "#tag", "@user", "…", "—",
    "\u200b", "\ufeff", "ﬁne", "ǆ", "𝔘𝔫𝔦", "x" * 30,
)  # fmt: skip


def texts(count: int, seed: int = 0, words: tuple[int, int] = (1, 40)) -> list[str]:
    """`count` texts of random parts, some of them joined without a space."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        text = ""
        for _ in range(draw.randint(*words)):
            text += draw.choice(PARTS) + draw.choice((" ", " ", " ", "", ", ", "\t", "\u00a0"))
        made.append(text if text.strip() else "a")
    return made
