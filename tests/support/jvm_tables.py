"""The Unicode tables of the JVM tokenizer: `python tests/support/jvm_tables.py` writes them, a test compares them.

A phone's Unicode tables are of another version on each Android release, so the JVM core takes none of them: what
BERT's tokenizer does with each character is asked of `tokenizers` itself and travels as a resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from tokenizers import normalizers, pre_tokenizers

ROOT = Path(__file__).parents[2]
FILE = ROOT / "devices/android/app/core/src/main/resources/edgebert/core/unicode.txt"

EVERY = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
HANGUL = range(0xAC00, 0xD7A4)
_OFF = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}


def content() -> str:
    """The file: sections of ranges (`first-last`, hexadecimal) and of replacements (`letter>letters`)."""
    clean = normalizers.BertNormalizer(**_OFF | {"clean_text": True})
    alone = normalizers.BertNormalizer(**_OFF | {"handle_chinese_chars": True})
    strip = normalizers.BertNormalizer(**_OFF | {"strip_accents": True})
    lower = normalizers.BertNormalizer(**_OFF | {"lowercase": True})
    words = pre_tokenizers.BertPreTokenizer()
    split = {c: [word for word, _ in words.pre_tokenize_str(f"a{c}b")] for c in EVERY}
    sections = {
        "removed": _ranges(c for c in EVERY if clean.normalize_str(f"a{c}b") == "ab"),
        "space": _ranges(c for c in EVERY if clean.normalize_str(f"a{c}b") == "a b"),
        "ideograph": _ranges(c for c in EVERY if alone.normalize_str(c) != c),
        "gap": _ranges(c for c in EVERY if split[c] == ["a", "b"]),
        "punctuation": _ranges(c for c in EVERY if len(split[c]) == 3),
        "mark": _ranges(c for c in EVERY if strip.normalize_str(c) == ""),
        "strip": _replacements((c, strip.normalize_str(c)) for c in EVERY if ord(c) not in HANGUL),
        "lower": _replacements((c, lower.normalize_str(c)) for c in EVERY),
    }
    body = "".join(f"[{name}]\n{_wrapped(parts)}" for name, parts in sections.items())
    return f"# What tokenizers {version('tokenizers')} does with each character; made by jvm_tables.py.\n{body}"


def made_with() -> str:
    """The version of `tokenizers` that the stored file was made with."""
    return FILE.read_text("utf-8").split("tokenizers ", 1)[1].split(" ", 1)[0]


def _ranges(characters: Iterable[str]) -> list[str]:
    """Code points in ascending order as `first-last` or `only`."""
    found: list[list[int]] = []
    for code in map(ord, characters):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return [f"{first:x}" if first == last else f"{first:x}-{last:x}" for first, last in found]


def _replacements(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Those that change and are not wholly dropped, as `c0>41`; several letters are joined by `+`."""
    return [f"{ord(c):x}>{'+'.join(f'{ord(x):x}' for x in new)}" for c, new in pairs if new not in (c, "")]


def _wrapped(parts: list[str], width: int = 120) -> str:
    return "".join(f"{line}\n" for line in _lines(parts, width))


def _lines(parts: list[str], width: int) -> Iterator[str]:
    line = ""
    for part in parts:
        if line and len(line) + 1 + len(part) > width:
            yield line
            line = ""
        line = f"{line} {part}" if line else part
    if line:
        yield line


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(content(), "utf-8")
