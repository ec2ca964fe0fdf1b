"""Dropping the word pieces that a task's text never uses, and rebuilding the tokenizer to match.

WordPiece takes the longest piece that fits, so a word whose pieces are all kept splits as before. The others fall
back to shorter pieces, at worst to single characters, all of which are kept: no word that could be spelled becomes
unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgebert.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TokenizerJson = dict[str, Any]

SPECIAL_ROLES = ("unk_token", "pad_token", "cls_token", "sep_token", "mask_token")
_CHUNK = 1000


@dataclass(frozen=True)
class Pruned:
    """A rebuilt tokenizer.

    `kept[i]` is the teacher's id of the student's piece `i` (int64, ascending), `changed` the share of the texts that
    it splits otherwise than the teacher's.
    """

    tokenizer: TokenizerJson
    kept: NDArray[np.int64]
    changed: float = 0.0


def clean(tokenizer: Mapping[str, Any]) -> TokenizerJson:
    """A deep copy without the truncation and padding that its training left behind."""
    copy: TokenizerJson = json.loads(json.dumps(tokenizer))
    return copy | {"truncation": None, "padding": None}


def prune(tokenizer: Mapping[str, Any], texts: Iterable[str], *, name: str, most: int | None = None) -> Pruned:
    """Keep the pieces that `texts` need, every single character, and every special token.

    Args:
        tokenizer: the content of a tokenizer.json whose model is WordPiece.
        texts: the task's text; each is tokenized whole, without truncation. Read twice with `most`, never held.
        name: the model's name, for messages.
        most: pieces to keep at most: what cannot be done without, then the most frequent. None: all that occur, so
            that every text keeps its tokens.

    Raises:
        DataError: the tokenizer is of another kind (BPE, Unigram ...), or `most` is less than cannot be done without.
    """
    from tokenizers import Tokenizer

    before = clean(tokenizer)
    kind = before["model"].get("type", "unknown")
    if kind != "WordPiece":
        raise DataError(
            f"the tokenizer of {name} is {kind}; only WordPiece vocabularies can be pruned",
            "keep it whole: student: {vocabulary: keep}",
        )
    vocabulary: dict[str, int] = before["model"]["vocab"]
    engine = Tokenizer.from_str(json.dumps(before))
    counts: Counter[int] = Counter()
    for encoding in _encoded(engine, texts):
        counts.update(encoding.ids)
    safe = _safety_set(before, engine)
    if most is not None and most < len(safe):
        raise DataError(
            f"student.pieces is {most}, but {name} needs {len(safe)} for special tokens and single characters alone",
            f"give {len(safe)} or more",
        )
    wanted = sorted(counts.keys() - safe, key=lambda index: (-counts[index], index))
    keep = safe | set(wanted[: None if most is None else most - len(safe)])
    kept = np.array(sorted(keep), dtype=np.int64)
    total = changed = 0
    for encoding in _encoded(engine, texts if counts.keys() - keep else ()):
        total, changed = total + 1, changed + (not keep.issuperset(encoding.ids))
    renumbered = _renumber(before, {int(old): new for new, old in enumerate(kept)}, vocabulary)
    return Pruned(renumbered, kept, changed / max(total, 1))


def share_changed(tokenizer: Mapping[str, Any], pruned: Pruned, texts: Iterable[str]) -> float:
    """The share of texts that the pruned tokenizer splits otherwise than the teacher's; of no texts, 0.

    For texts that it was not made for: on its own, `Pruned.changed` says it.
    """
    from tokenizers import Tokenizer

    before = Tokenizer.from_str(json.dumps(clean(tokenizer)))
    after = Tokenizer.from_str(json.dumps(pruned.tokenizer))
    changed = total = 0
    for ours, theirs in zip(_encoded(after, texts), _encoded(before, texts), strict=True):
        changed += pruned.kept[ours.ids].tolist() != theirs.ids
        total += 1
    return changed / max(total, 1)


def id_map(student: Mapping[str, int], teacher: Mapping[str, int]) -> NDArray[np.int64]:
    """The teacher's id of each of the student's, int64 [student's vocabulary]: the same piece, the same meaning.

    Raises:
        DataError: the student has a piece that the teacher lacks, or its ids have gaps.
    """
    table = np.full(len(student), -1, dtype=np.int64)
    for piece, index in student.items():
        if index >= len(table) or piece not in teacher:
            raise DataError(
                f"the student's piece {piece!r} (id {index}) is not the teacher's",
                "build the student again from it",
            )
        table[index] = teacher[piece]
    return table


def write_tokenizer(folder: Path, tokenizer: TokenizerJson, specials: Mapping[str, str], max_length: int) -> None:
    """Write tokenizer.json and what transformers wants beside it, so that both read the same ids."""
    normalizer = tokenizer.get("normalizer") or {}
    is_bert = normalizer.get("type") == "BertNormalizer"
    config: dict[str, Any] = {
        # BertTokenizer rewrites any other normalizer in its own image, so those load as they are written.
        "tokenizer_class": "BertTokenizer" if is_bert else "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in tokenizer["added_tokens"]
        },
        **specials,
    }
    if is_bert:
        config |= {
            "do_lower_case": normalizer["lowercase"],
            "strip_accents": normalizer["strip_accents"],
            "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        }
    _write_json(folder / "tokenizer.json", tokenizer)
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", dict(specials))
    if tokenizer["model"].get("type") == "WordPiece":
        lines = sorted(all_pieces(tokenizer).items(), key=lambda item: item[1])
        text = "".join(f"{piece}\n" for piece, _ in lines)
        (folder / "vocab.txt").write_text(text, encoding="utf-8", newline="\n")


def all_pieces(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """Every piece with its id, added tokens included."""
    return dict(tokenizer["model"]["vocab"]) | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}


def specials_of(tokenizer: Mapping[str, Any], configs: Sequence[Mapping[str, Any]] = ()) -> dict[str, str]:
    """The special tokens by role (`unk_token`, `pad_token` ...), as the configurations say or as BERT names them."""
    pieces = all_pieces(tokenizer)
    found: dict[str, str] = {}
    for role in SPECIAL_ROLES:
        stated = next((config[role] for config in configs if config.get(role)), f"[{role[:-6].upper()}]")
        content = stated["content"] if isinstance(stated, Mapping) else str(stated)
        if content in pieces:
            found[role] = content
    return found


def _safety_set(tokenizer: TokenizerJson, engine: Tokenizer) -> set[int]:
    """Ids that stay whatever the text: special and added tokens, single characters, and what cannot do without."""
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    prefix: str = tokenizer["model"]["continuing_subword_prefix"]
    keep = {token["id"] for token in tokenizer["added_tokens"]}
    unknown = vocabulary.get(tokenizer["model"]["unk_token"])
    if unknown is not None:
        keep.add(unknown)
    for piece, index in vocabulary.items():
        inside = piece.startswith(prefix) and len(piece) > len(prefix)
        characters = piece[len(prefix) :] if inside else piece
        if len(characters) == 1:
            if not inside or _is_reachable(engine, characters):
                keep.add(index)
        elif not _is_marker(piece):
            # With a character that has no piece of its own in that place, it can be spelled by nothing but itself.
            spelled = (prefix + c if inside or i else c for i, c in enumerate(characters))
            if not all(c in vocabulary for c in spelled):
                keep.add(index)
    return keep


def _is_reachable(engine: Tokenizer, character: str) -> bool:
    """Whether the character ever stands inside a word: ideographs and punctuation are words of their own."""
    text = f"a{character}"
    if engine.normalizer is not None:
        text = engine.normalizer.normalize_str(text)
    words = engine.pre_tokenizer.pre_tokenize_str(text) if engine.pre_tokenizer is not None else [(text, (0, 0))]
    return any(character in word[1:] for word, _ in words)


def _is_marker(piece: str) -> bool:
    """Whether this is a reserved place such as [unused17], which no text can be split into."""
    return len(piece) > 2 and piece.startswith("[") and piece.endswith("]")


def _renumber(tokenizer: TokenizerJson, new_ids: Mapping[int, int], vocabulary: Mapping[str, int]) -> TokenizerJson:
    """The same tokenizer over the kept pieces alone, with their new ids everywhere ids are written."""
    pieces = sorted(((new_ids[i], piece) for piece, i in vocabulary.items() if i in new_ids))
    tokenizer["model"]["vocab"] = {piece: index for index, piece in pieces}
    tokenizer["added_tokens"] = [token | {"id": new_ids[token["id"]]} for token in tokenizer["added_tokens"]]
    for processor in _processors(tokenizer.get("post_processor")):
        for token in processor.get("special_tokens", {}).values():  # TemplateProcessing
            token["ids"] = [new_ids[i] for i in token["ids"]]
        for role in ("cls", "sep"):  # BertProcessing
            if role in processor:
                processor[role] = [processor[role][0], new_ids[processor[role][1]]]
    return tokenizer


def _processors(processor: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if processor is None:
        return
    if processor["type"] == "Sequence":
        for inner in processor["processors"]:
            yield from _processors(inner)
    else:
        yield processor


def _encoded(engine: Tokenizer, texts: Iterable[str]) -> Iterator[Any]:
    iterator = iter(texts)
    while chunk := list(islice(iterator, _CHUNK)):
        yield from engine.encode_batch(chunk)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
