"""What the tokenizer graphs of both engines share: BERT's rules as regular expressions and a map of characters.

Everything is spelled out in code points, from the tables that `edgebert.wordpiece` reads: an engine's own classes
(`\\p{P}`, `\\s`) and its own lower case are of another Unicode release than those of `tokenizers`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from edgebert import unicode_tables as tables
from edgebert.errors import ArtifactError, ExportError, MissingExtra
from edgebert.letters import Letters
from edgebert.wordpiece import WordPiece

EXTRA = "tokenizer-graph"

#: Private characters that stand for special tokens while a text is taken apart: BERT removes a text's own.
STAND_INS = "f0000-f03ff"

#: Private characters but the stand-ins. None is left when words are made.
PRIVATE = "e000-f8ff f0400-ffffd 100000-10fffd"

#: A private character, for what must vanish without joining its neighbours before special tokens are looked for.
GONE = "\ue000"

#: No character from here on has a capital, an accent or a canonical decomposition, or is a word of its own.
_MAPPED = 0x30000


@dataclass(frozen=True)
class Rules:
    """A `tokenizer.json` of the BERT kind.

    Args:
        vocabulary: piece -> id, with stand-ins in the place of special tokens.
        specials: special token as it is written -> stand-in.
        unknown: the unknown piece's stand-in.
        prefix: of pieces that go on with a word.
        longest: characters of a word; a longer one is unknown.
        ideographs: characters that are words of their own, as they are written; empty where they are not.
        kinds: character -> `space`, `nothing`, `alone` or `letter`, and what it becomes, where that is not `letter`
            and itself; private characters and ideographs that stay as they are are left out.
        single: ids before and after a text.
        pair: ids before, between and after two texts.
    """

    vocabulary: dict[str, int]
    specials: dict[str, str]
    unknown: str
    prefix: str
    longest: int
    ideographs: frozenset[str]
    kinds: dict[str, tuple[str, str]]
    single: tuple[tuple[int, ...], ...]
    pair: tuple[tuple[int, ...], ...]


def read_rules(path: Path) -> Rules:
    """The rules of a `tokenizer.json`.

    Raises:
        ExportError: it is not a tokenizer of BERT, or uses what no graph can say.
    """
    try:
        WordPiece.from_file(path)  # refuses, by name, whatever is not BERT's
    except ArtifactError as error:
        raise _refused(error.message) from error
    content = json.loads(path.read_text("utf-8"))
    model, normalizer = content["model"], content["normalizer"]
    written = {token["content"]: int(token["id"]) for token in content["added_tokens"]}
    special = {model["unk_token"]: int(model["vocab"][model["unk_token"]])} | written
    stand_ins = dict(zip(sorted(special), sorted(tables.characters(STAND_INS)), strict=False))
    if len(stand_ins) < len(special) or any(a != b and a in b for a in special for b in special):
        raise _refused("special tokens hold one another, or are too many")
    if not normalizer["clean_text"]:  # private characters would stay, and stand-ins could not be told from them
        raise _refused("it does not clean texts (clean_text)")
    ideographs = tables.characters(tables.IDEOGRAPHS) if normalizer["handle_chinese_chars"] else frozenset()
    letters = Letters(
        clean=True,
        ideographs=bool(ideographs),
        lower=normalizer["lowercase"],
        strip=normalizer["lowercase"] if normalizer["strip_accents"] is None else normalizer["strip_accents"],
    )
    frames = _frames(content["post_processor"])
    return Rules(
        # A piece with a space in it is in no word.
        vocabulary={piece: number for piece, number in model["vocab"].items() if piece not in special and _whole(piece)}
        | {stand_in: special[name] for name, stand_in in stand_ins.items()},
        specials={name: stand_ins[name] for name in written},
        unknown=stand_ins[model["unk_token"]],
        prefix=model["continuing_subword_prefix"],
        longest=model["max_input_chars_per_word"],
        ideographs=ideographs,
        kinds=_kinds(letters, ideographs),
        single=frames["single"],
        pair=frames["pair"],
    )


def pattern(characters: Iterable[str]) -> str:
    """A class of code points, as RE2 and PCRE2 read it."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    parts = (rf"\x{{{first:x}}}" + (rf"-\x{{{last:x}}}" if last > first else "") for first, last in ranges)
    return f"[{''.join(parts)}]"


def quoted(text: str) -> str:
    """A pattern of a text as it stands."""
    return "".join(rf"\x{{{ord(character):x}}}" for character in text)


def missing(package: str) -> MissingExtra:
    """The error that says how to install what the graphs are made with."""
    return MissingExtra(f"the package {package} is not installed", f'install it with: pip install "edgebert[{EXTRA}]"')


def _refused(why: str) -> ExportError:
    return ExportError(f"no graph can be made of this tokenizer: {why}", "leave --tokenizer-in-graph out")


def _whole(piece: str) -> bool:
    return piece.split() == [piece]


def _kinds(letters: Letters, ideographs: frozenset[str]) -> dict[str, tuple[str, str]]:
    found = {}
    private = tables.characters(PRIVATE) | tables.characters(STAND_INS)
    for code in chain(range(0xD800), range(0xE000, _MAPPED), range(0xE0000, 0xE0200)):
        character = chr(code)
        if character in private:
            continue
        kind, normal = letters.word_part(character)
        if (kind, normal) != ("alone" if character in ideographs else "letter", character):
            found[character] = (kind, normal)
    return found


def _frames(processor: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Ids around the texts: of `single` two groups, of `pair` three."""
    if processor["type"] == "BertProcessing":
        cls, sep = (int(processor["cls"][1]),), (int(processor["sep"][1]),)
        return {"single": (cls, sep), "pair": (cls, sep, sep)}
    found = {}
    for name in ("single", "pair"):
        groups: list[tuple[int, ...]] = [()]
        for part in processor[name]:
            if "Sequence" in part:
                groups.append(())
            else:
                groups[-1] += tuple(processor["special_tokens"][part["SpecialToken"]["id"]]["ids"])
        found[name] = tuple(groups)
    return found
