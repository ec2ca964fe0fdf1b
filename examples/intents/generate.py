"""Write the intents example: train.jsonl, validation.jsonl and test.jsonl, the same bytes on every machine.

    python examples/intents/generate.py            # rewrite the three files
    python examples/intents/generate.py --check    # exit code 1 if they are out of step with what they are made of

The utterances come from templates.toml (filled from slots.toml, then roughened: politeness, casing, shorthand, typing
slips) and from handwritten.toml. Templates and hand-written utterances are dealt to the splits *before* anything is
filled, so that no template ever shows on both sides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEED = "edgebert intents 1"
SPLITS = ("train", "validation", "test")
SHARES = (0.6, 0.15, 0.25)  # of the templates and of the hand-written utterances of an intent, by split
OUT_OF_SCOPE = "out_of_scope"
QUOTA = {"train": (110, 400), "validation": (15, 45), "test": (23, 94)}  # utterances: of an intent, out of scope
HELD_OUT_FROM = 10  # a slot with this many values keeps one in six of them out of training
WRAP, SHORTEN, SLIP, SECOND_SLIP = 0.30, 0.12, 0.10, 0.25  # how often; SECOND_SLIP only in long utterances
SPELLED = 0.3  # share of the numbers written as words
ATTEMPTS = 40  # fillings of a template that bring nothing new before it counts as exhausted

_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_ONES = """zero one two three four five six seven eight nine ten eleven twelve
thirteen fourteen fifteen sixteen seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


@dataclass(frozen=True)
class Template:
    """One hand-written pattern of an intent; `mood` says which wrappers fit around it."""

    intent: str
    mood: str
    pattern: str

    @property
    def key(self) -> str:
        """What names this template in an `Utterance`."""
        return f"{self.intent}/{self.mood}/{self.pattern}"


@dataclass(frozen=True)
class Utterance:
    """One line of a split; `source` is the key of its template, or `<intent>/handwritten/<text>`."""

    text: str
    intent: str
    source: str


@dataclass(frozen=True)
class Lexicon:
    """slots.toml: what fills the slots, what goes around an utterance, how words are shortened."""

    slots: Mapping[str, Any]
    wrappers: Mapping[str, Sequence[str]]
    shorthand: Mapping[str, Sequence[str]]

    def values(self, slot: str, *, training: bool) -> Sequence[str]:
        """Return the values of a list slot; in training without the one in six that is kept for evaluation."""
        values: list[str] = self.slots[slot]
        if not training or len(values) < HELD_OUT_FROM:
            return values
        held_out = sorted(values, key=lambda value: _digest(f"{slot}/{value}"))[: len(values) // 6]
        return [value for value in values if value not in held_out]


class Dice:
    """Seeded draws that use `Random.random` alone, the one sequence that Python promises to keep for a seed."""

    def __init__(self, *key: str) -> None:
        self._random = random.Random("/".join((SEED, *key)))

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._random.random() < probability

    def below(self, limit: int) -> int:
        """Return a whole number from 0 to limit - 1."""
        return int(self._random.random() * limit)

    def pick(self, options: Sequence[str]) -> str:
        """Return one of the options."""
        return options[self.below(len(options))]


def load_templates(path: Path = HERE / "templates.toml") -> list[Template]:
    """Read all templates, in the order of the file."""
    return [
        Template(intent, mood, pattern)
        for intent, moods in tomllib.loads(path.read_text(encoding="utf-8")).items()
        for mood, patterns in moods.items()
        for pattern in patterns
    ]


def load_handwritten(path: Path = HERE / "handwritten.toml") -> dict[str, list[str]]:
    """Read the hand-written utterances by intent."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def load_lexicon(path: Path = HERE / "slots.toml") -> Lexicon:
    """Read slots, wrappers and shorthand."""
    return Lexicon(**tomllib.loads(path.read_text(encoding="utf-8")))


def deal(texts: Sequence[str], *, familiar: bool) -> dict[str, str]:
    """Deal texts to the splits by SHARES, in the order of their SHA-256.

    With `familiar` a text whose words all occur in the texts that stay in training is held out first, so that a test
    asks for known words in an unknown sentence, rather than for the meaning of a word never seen.
    """
    waiting = sorted(texts, key=_digest)
    sizes = {split: max(1, round(len(texts) * share)) for split, share in zip(SPLITS, SHARES, strict=True)}
    uses = Counter(word for text in texts for word in _words(text))
    dealt: dict[str, list[str]] = {"test": [], "validation": []}
    while open_splits := [split for split in dealt if len(dealt[split]) < sizes[split]]:
        split = min(open_splits, key=lambda name: len(dealt[name]))
        text = min(waiting, key=lambda text: sum(uses[word] == 1 for word in _words(text)) if familiar else 0)
        waiting.remove(text)
        uses.subtract(_words(text))
        dealt[split].append(text)
    return dict.fromkeys(waiting, "train") | {text: split for split, texts in dealt.items() for text in texts}


def spell(number: int) -> str:
    """Write a whole number from 0 to 999 in English words."""
    ones, tens = _ONES.split(), _TENS.split()
    if number < 20:
        return ones[number]
    head = tens[number // 10 - 2] if number < 100 else f"{ones[number // 100]} hundred"
    rest = number % (10 if number < 100 else 100)
    return f"{head} {spell(rest)}" if rest else head


def fill(pattern: str, lexicon: Lexicon, dice: Dice, *, training: bool) -> str:
    """Expand options, choices and slots, innermost first; a slot that comes twice gets two different values."""
    used: dict[str, set[str]] = {}

    def slot_value(match: re.Match[str]) -> str:
        slot = match[1]
        if slot not in lexicon.slots:
            raise SystemExit(f"slots.toml has no slot {slot!r}, which {pattern!r} asks for")
        spread = lexicon.slots[slot]
        while True:
            if isinstance(spread, list):
                value = dice.pick(lexicon.values(slot, training=training))
            else:
                step = spread.get("step", 1)
                number = spread["low"] + step * dice.below((spread["high"] - spread["low"]) // step + 1)
                value = spell(number) if dice.chance(SPELLED) else str(number)
            if value not in used.setdefault(slot, set()):
                used[slot].add(value)
                return value

    text = pattern
    while True:
        before = text
        text = _OPTIONAL.sub(lambda match: match[1] if dice.chance(0.5) else "", text)
        text = _CHOICE.sub(lambda match: dice.pick(match[1].split("|")), text)
        text = _SLOT.sub(slot_value, text)
        if text == before:
            return " ".join(text.split())


def slip(text: str, dice: Dice) -> str:
    """Make one typing slip of a phone: a neighbour key, a dropped, a doubled or two swapped letters."""
    spots = [m.start() + 1 + k for m in re.finditer(r"[a-z]{4,}", text) for k in range(len(m[0]) - 2)]
    if not spots:
        return text
    at = spots[dice.below(len(spots))]
    letter, following = text[at], text[at + 1]
    kind = dice.pick(("neighbour", "drop", "double", "swap"))
    if kind == "neighbour":
        row = next(row for row in _ROWS if letter in row)
        place = row.index(letter)
        letter = dice.pick(row[max(0, place - 1) : place] + row[place + 1 : place + 2])
        return text[:at] + letter + text[at + 1 :]
    changed = {"drop": following, "double": letter * 2 + following, "swap": following + letter}[kind]
    return text[:at] + changed + text[at + 2 :]


def roughen(text: str, mood: str, lexicon: Lexicon, dice: Dice) -> str:
    """Turn a filled template into something typed: wrapped, shortened, mistyped, with the casing of phones."""
    if dice.chance(WRAP):
        text = dice.pick(lexicon.wrappers[mood]).replace("%s", text)
    if dice.chance(0.5):
        text = text.replace(",", "")
    if dice.chance(SHORTEN):
        text = " ".join(dice.pick(lexicon.shorthand.get(word, [word])) for word in text.split())
    if dice.chance(SLIP):
        text = slip(text, dice)
        if len(text) > 40 and dice.chance(SECOND_SLIP):
            text = slip(text, dice)
    if dice.chance(0.4 if mood == "question" else 0.1):
        text += "?" if mood == "question" else "."
    if dice.chance(0.3):
        text = re.sub(r"\bi\b", "I", text[0].upper() + text[1:])
    return text.upper() if dice.chance(0.01) else text


def same(text: str) -> str:
    """Return the form in which two utterances count as the same: case-folded words without punctuation."""
    return " ".join(re.findall(r"[\w'+*]+", text.casefold()))


def write_out(templates: Sequence[Template], split: str, lexicon: Lexicon) -> Iterator[Utterance]:
    """Yield fillings of the templates in turn, until every one of them has run dry."""
    dice = Dice(templates[0].intent, split)
    alive, seen = list(templates), set[str]()
    while alive:
        for template in tuple(alive):
            for _ in range(ATTEMPTS):
                text = fill(template.pattern, lexicon, dice, training=split == "train")
                text = roughen(text, template.mood, lexicon, dice)
                if same(text) not in seen:
                    seen.add(same(text))
                    yield Utterance(text, template.intent, template.key)
                    break
            else:
                alive.remove(template)


def build() -> dict[str, list[Utterance]]:
    """Make the three splits: no template is in two of them, and no text (case and punctuation apart) comes twice."""
    lexicon, templates, handwritten = load_lexicon(), load_templates(), load_handwritten()
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    taken = {same(text) for texts in handwritten.values() for text in texts}
    for intent, texts in handwritten.items():
        split_of_text = deal(texts, familiar=False)
        own = {t.pattern: t for t in templates if t.intent == intent}
        split_of_template = deal(list(own), familiar=True)
        for split in SPLITS:
            lines = [Utterance(t, intent, f"{intent}/handwritten/{t}") for t in texts if split_of_text[t] == split]
            quota = QUOTA[split][intent == OUT_OF_SCOPE]
            chosen = [own[pattern] for pattern in own if split_of_template[pattern] == split]
            candidates = write_out(chosen, split, lexicon)
            while len(lines) < quota:
                line = next(candidates, None)
                if line is None:
                    raise SystemExit(f"the {split} templates of {intent} give only {len(lines)} of {quota} utterances")
                if same(line.text) not in taken:
                    taken.add(same(line.text))
                    lines.append(line)
            splits[split] += lines
    return {split: sorted(lines, key=lambda line: _digest(line.text)) for split, lines in splits.items()}


def render(lines: Sequence[Utterance]) -> bytes:
    """Return the JSON lines of a split, UTF-8."""
    rows = ({"text": line.text, "intent": line.intent} for line in lines)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with --check compare them; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the intents example, the same bytes on every machine.")
    parser.add_argument("--check", action="store_true", help="only say whether the files are in step")
    check: bool = parser.parse_args(arguments).check
    stale = 0
    for split, lines in build().items():
        path, content = HERE / f"{split}.jsonl", render(lines)
        if check:
            in_step = path.is_file() and path.read_bytes() == content
            stale += not in_step
            print(f"{path.name}: {'in step' if in_step else 'out of step, run generate.py'}")
        else:
            path.write_bytes(content)
            print(f"{path.name}: {len(lines)} utterances, {round(len(content) / 1000)} kB")
    return 1 if stale else 0


def _words(pattern: str) -> set[str]:
    return set(re.findall(r"[\w']+", _SLOT.sub(" ", pattern)))


def _digest(text: str) -> str:
    return hashlib.sha256(f"{SEED}/{text}".encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
