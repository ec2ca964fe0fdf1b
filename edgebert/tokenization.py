"""Text to token ids, exactly as in training: the artifact's own `tokenizer.json`.

Read by `tokenizers`, or, where that is not installed (it has no wheel for armv7), by `edgebert.wordpiece`, which
gives the same ids and offsets.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from edgebert.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Longer texts are refused: they would be truncated to a few hundred tokens anyway, and cost memory first.
MAX_TEXT_CHARACTERS = 4_000_000


def load_tokenizer(folder: Path, max_length: int | None = None) -> Tokenizer:
    """Read `tokenizer.json`, with truncation at `max_length` tokens (special ones included) and no padding.

    Whatever truncation or padding the file carries from its training is dropped. Without `tokenizers` it is a
    `WordPiece`, which has all of a `Tokenizer` that this project uses.

    Raises:
        ArtifactError: the file is absent or unreadable; or `tokenizers` is absent and it is not BERT's.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ArtifactError(
            f"{folder.name} has no tokenizer.json",
            "save the fast tokenizer beside the model: AutoTokenizer.from_pretrained(…).save_pretrained(folder)",
        )
    tokenizer = _read(path)
    tokenizer.no_padding()
    if max_length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_length)
    return tokenizer


def _read(path: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        from edgebert.wordpiece import WordPiece

        return cast("Tokenizer", WordPiece.from_file(path))
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise ArtifactError(f"{path.parent.name}/tokenizer.json cannot be read: {error}", "save it again") from error


def check_text(text: object, where: str = "the text") -> str:
    """`text` itself, when it can be tokenized.

    Raises:
        DataError: not a string, empty, too long, or with a lone surrogate.
    """
    if not isinstance(text, str):
        raise DataError(f"{where} is a {type(text).__name__}, not a string", "give text")
    if not text.strip():
        raise DataError(f"{where} is empty", "give at least one word")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise DataError(
            f"{where} has {len(text):,} characters, more than {MAX_TEXT_CHARACTERS:,}",
            "cut it into shorter texts",
        )
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}",
            "it is no valid Unicode text: decode it anew, for instance with errors='replace'",
        ) from error
    return text
