"""The JVM core, compiled once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import odd_texts
import pytest
from jvm import Jvm, compile_core, need_javac

from edgebert.compress.finetune import train_wordpiece


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core's and the driver's classes."""
    need_javac()
    return compile_core(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="session")
def jvm(classes: Path) -> Iterator[Jvm]:
    """The core, running."""
    with Jvm(classes) as running:
        yield running


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tokenizer_file(lowercase=False)`: a tokenizer.json of words in many scripts, its normalizer so changed."""
    folder = tmp_path_factory.mktemp("tokenizers")
    letters = [chr(code) for code in range(0x20, 0x20000) if chr(code).isalpha()]
    words = ["turn the lights off please", "unaffable quick brown fox", *odd_texts.PARTS, *odd_texts.texts(100, seed=9)]
    content = train_wordpiece([*words, " ".join(letters[::40])], 9000)

    def make(**changes: object) -> Path:
        path = folder / ("-".join(f"{key}-{value}" for key, value in changes.items()) + ".json")
        if not path.exists():
            path.write_text(json.dumps(content | {"normalizer": content["normalizer"] | changes}), "utf-8")
        return path

    return make
