"""What `edgebert.load` promises beyond the engines: forms of questions, golden answers, closing."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import edgebert
from edgebert import artifact as artifacts
from edgebert import cache, first_load, golden
from edgebert.artifact import Artifact
from edgebert.errors import ArtifactError, DataError, UsageError
from edgebert.model import Model
from edgebert.protocols import Runtime

TEXTS = ["the light", "play a song now", "rain", "could you do the lamp thing for me, quickly!"]


@pytest.fixture
def model(tiny_artifact: Artifact) -> Iterator[Model]:
    with edgebert.load(tiny_artifact.path) as loaded:
        yield loaded


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def resigned(artifact: Artifact, target: Path, change: Any) -> Path:
    """A copy whose golden answers were changed, with manifest and hashes made anew: only asking can tell."""
    copy = Path(shutil.copytree(artifact.path, target.with_name("copy")))
    body = json.loads((copy / "golden.json").read_text("utf-8"))
    change(body)
    (copy / "golden.json").write_text(json.dumps(body), "utf-8")
    return artifacts.save(copy, artifacts._parse(copy / "manifest.json"), target).path


def test_one_a_list_and_a_stream(model: Model) -> None:
    serial = [model.predict(text) for text in TEXTS]
    assert model.predict(TEXTS) == serial and model.predict(deque(TEXTS)) == serial
    assert model.predict([]) == []
    stream = model.predict(iter(TEXTS))
    assert not isinstance(stream, list) and list(stream) == serial


def test_a_stream_is_read_as_it_is_answered(model: Model) -> None:
    read: list[str] = []

    def source() -> Iterator[str]:
        for text in TEXTS:
            read.append(text)
            yield text

    stream = model.predict(source())
    assert read == []
    next(stream)
    assert read == TEXTS[:1]
    next(stream)
    assert read == TEXTS[:2]


def test_a_bad_text_of_a_stream_is_named_when_it_is_met(model: Model) -> None:
    stream = model.predict(iter(["the light", " "]))
    assert next(stream).label
    with pytest.raises(DataError, match="text 1 is empty"):
        next(stream)


def test_truncation_is_told(model: Model) -> None:
    longest = model.artifact.manifest.max_length
    fits = "light " * (longest - 2)
    assert not model.predict(fits).truncated
    longer = model.predict(fits + "light rain rain")
    assert longer.truncated and longer.to_json()["truncated"] is True
    assert longer.score == pytest.approx(model.predict(fits).score, abs=1e-6), "the rest was cut, at the end"


def test_a_closed_model_says_so(tiny_artifact: Artifact) -> None:
    model = edgebert.load(tiny_artifact.path)
    stream = model.predict(iter(TEXTS))
    next(stream)
    model.close()
    model.close()
    for ask in (lambda: model.predict("the light"), lambda: next(stream), model.warm_up):
        with pytest.raises(UsageError, match="closed"):
            ask()


@pytest.mark.parametrize("threads", [0, -1, "many", 1.5])
def test_threads_that_are_none(tiny_artifact: Artifact, threads: Any) -> None:
    with pytest.raises(UsageError, match="threads"):
        edgebert.load(tiny_artifact.path, threads=threads)


def test_threads_and_asyncio_share_one_model(model: Model) -> None:
    serial = model.predict(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(model.predict, TEXTS * 50)) == serial * 50

    async def ask() -> list[Any]:
        return await asyncio.gather(*(asyncio.to_thread(model.predict, text) for text in TEXTS * 5))

    assert asyncio.run(ask()) == serial * 5


def test_golden_answers_are_asked_at_the_first_load_alone(
    tiny_artifact: Artifact, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = golden.check

    def counting(artifact: Artifact, runtime: Runtime, tokenizer: Any = None) -> golden.GoldenCheck:
        asked.append(runtime.engine)
        return real(artifact, runtime, tokenizer)

    monkeypatch.setattr(golden, "check", counting)
    edgebert.load(tiny_artifact.path).close()
    edgebert.load(tiny_artifact.path).close()
    assert len(asked) == 1 and len(list((empty_cache / first_load.KIND).iterdir())) == 1
    edgebert.load(tiny_artifact.path, threads=2).close()
    assert len(asked) == 2, "other settings, other sums"
    monkeypatch.setattr(first_load.cpu, "identity", lambda *_: {"machine": "another", "features": ""})
    edgebert.load(tiny_artifact.path).close()
    assert len(asked) == 3, "another processor, other kernels"
    Model.load(tiny_artifact.path, threads=3, golden=False).close()
    assert len(asked) == 3


def test_an_answer_that_differs_is_shown_and_never_remembered(
    tiny_artifact: Artifact, tmp_path: Path, empty_cache: Path
) -> None:
    def change(body: dict[str, Any]) -> None:
        body["outputs"]["logits"][3][1] += 9

    path = resigned(tiny_artifact, tmp_path / "changed", change)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        with pytest.raises(ArtifactError) as caught:
            edgebert.load(path)
        message = caught.value.message
        assert "logits[1] of window 3 is" in message and "expected" in message
        assert "off by 9" in message and "is allowed" in message and "onnxruntime" in message
    assert not empty_cache.exists() and len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_other_token_ids_are_shown(tiny_artifact: Artifact, tmp_path: Path, empty_cache: Path) -> None:
    def change(body: dict[str, Any]) -> None:
        body["input_ids"][2][1] += 1

    with pytest.raises(ArtifactError, match=r"window 2 has other token ids: from token 1 on \[.*expected \["):
        edgebert.load(resigned(tiny_artifact, tmp_path / "changed", change))


def test_a_later_start_imports_no_more_than_it_needs(tiny_artifact: Artifact) -> None:
    unneeded = ("rich", "click", "shutil", "tempfile", "difflib", "importlib.metadata", "asyncio", "edgebert.golden")
    code = (
        "import sys, numpy, onnxruntime, tokenizers; engine = set(sys.modules); import edgebert; "
        "model = edgebert.load(sys.argv[1]); model.predict('the light'); "
        f"print([name for name in {unneeded!r} if name in sys.modules and name not in engine])"
    )
    for _ in range(2):  # the first may ask the golden answers
        done = subprocess.run([sys.executable, "-c", code, tiny_artifact.path], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
