"""20,000 strings that tokenizers could disagree about, and texts of a megabyte."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from odd_texts import texts as odd_texts

from edgebert import unicode_tables as tables

COUNT = 20_000
SURROGATES = range(0xD800, 0xE000)

#: Planes 2, 3 and 14 hold few blocks of many ideographs, tags and variation selectors; the rest of 4 to 16 nothing.
PLANES = (range(0, 0x20000, 16), range(0x20000, 0x33500, 512), range(0xE0000, 0xE0200, 16))
EMOJI = (
    "👩",
    "👨",
    "👧",
    "🏽",
    "\u200d",
    "\ufe0f",
    "🏳️",
    "🌈",
    "🇩",
    "🇪",
    "❤",
    "1️⃣",
    "🧑",
    "\U000e0067",
    "\U000e007f",
    "🫱",
)
RIGHT_TO_LEFT = (
    "שלום",
    "עולם",
    "مرحبا",
    "بِسْمِ",
    "سلام",
    "\u200f",
    "\u202b",
    "\u202c",
    "\u2067",
    "\u2069",
    "ܫܠܡܐ",
    "ߒߞߏ",
)
CONTROLS = tuple(
    map(chr, [*range(32), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x2028, 0x2029, 0x2060, 0xFEFF, 0xFFFD, 0xFFFE])
)
LETTERS = (*"abcdeéüÅñ ABC 019 .,!?-'\"()[]{}#@_", "the ", "turn ", "İ", "ß", "ﬁ", "漢", "가", "각", "[MASK]", "[SEP]")


def blocks() -> Iterator[str]:
    """Every 16 characters together, which is what blocks are made of, with letters around and between."""
    for codes in PLANES:
        for start in codes:
            run = [chr(code) for code in range(start, start + 16) if code not in SURROGATES]
            if run:
                yield f"a {''.join(run)} b{run[0]}c {run[-1]}"


def mixtures(count: int) -> Iterator[str]:
    """Random texts of emoji with joiners, right-to-left, combining marks, control characters and letters."""
    draw = random.Random(17)
    movable = sorted(tables.characters(tables.MOVABLE) | tables.characters(tables.WITH_MOVABLE))
    kinds = (EMOJI, RIGHT_TO_LEFT, sorted(tables.characters(tables.MARKS)), CONTROLS, movable, sorted(tables.lowered()))
    for number in range(count):
        kind = kinds[number % len(kinds)]
        size = draw.randint(1, 40)
        yield "".join(draw.choice(kind if draw.random() < 0.5 else LETTERS) for _ in range(size))


def all_texts() -> list[str]:
    """`COUNT` strings."""
    found = [*blocks(), *odd_texts(2_000)]
    return [*found, *mixtures(COUNT - len(found))]


def corpus(shared: Path) -> list[str]:
    """All texts of CLINC150, WNUT-17 and SQuAD."""
    clinc = json.loads((shared / "data/clinc150/data_full.json").read_text("utf-8"))
    found = [text for rows in clinc.values() for text, _ in rows]
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        sentences = re.split(r"\n\s*\n", (shared / "data/wnut17" / name).read_text("utf-8"))
        found += [" ".join(line.split("\t")[0] for line in sentence.splitlines()) for sentence in sentences]
    for name in ("dev-v1.1-train36.json", "dev-v1.1-eval12.json"):
        for article in json.loads((shared / "data/squad" / name).read_text("utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                found += [paragraph["context"], *(item["question"] for item in paragraph["qas"])]
    return found


def megabytes() -> dict[str, str]:
    """Texts of a million characters, by what is hard about them."""
    draw = random.Random(3)
    unknown = "".join(draw.choice("zqxj") for _ in range(1_000_000))
    return {
        "prose": "Turn the lights off, naïve 漢字! " * 32_300,
        "one word": "x" * 1_000_000,
        "long unknown words": " ".join(unknown[at : at + 99] for at in range(0, 1_000_000, 99)),
        "words of special tokens": "[MASK][SEP" * 100_000,
        "ideographs": "漢字" * 500_000,
        "marks": "e" + "\u0301\u0323\u302e\u0345" * 250_000,
        "emoji": "👩\u200d👩\u200d👧\u200d👦🏽" * 125_000,
        "spaces": " " * 999_999 + "a",
        "brackets": "][)(" * 250_000,
        "right to left": "שלום‏ עולם " * 90_000,
        "Hangul": "가각힣" * 333_000,
    }
