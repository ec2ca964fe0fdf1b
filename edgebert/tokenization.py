"""Text to token ids, exactly as in training: the artifact's own `tokenizer.json`, through `tokenizers`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgebert.errors import ArtifactError, DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Longer texts are refused: they would be truncated to a few hundred tokens anyway, and cost memory first.
MAX_TEXT_CHARACTERS = 4_000_000


def load_tokenizer(folder: Path, max_length: int | None = None) -> Tokenizer:
    """Read `tokenizer.json`, with truncation at `max_length` tokens (special ones included) and no padding.

    Whatever truncation or padding the file carries from its training is dropped.

    Raises:
        ArtifactError: the file is absent or unreadable.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ArtifactError(
            f"{folder.name} has no tokenizer.json",
            "save the fast tokenizer beside the model: AutoTokenizer.from_pretrained(…).save_pretrained(folder)",
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise ArtifactError(f"{folder.name}/tokenizer.json cannot be read: {error}", "save it again") from error
    tokenizer.no_padding()
    if max_length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_length)
    return tokenizer


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
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} has a lone surrogate (U+{ord(text[error.start]):04X}) at character {error.start}",
            "it is no valid Unicode text: decode it anew, for instance with errors='replace'",
        ) from error
    return text
