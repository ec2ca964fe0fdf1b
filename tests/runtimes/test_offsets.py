"""Spans and answers that each format gives on untidy texts point at exactly the text that they name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from odd_texts import texts
from tiny_tasks import TASKS

from edgebert.artifact import Artifact
from edgebert.model import Model

pytestmark = pytest.mark.slow
FORMATS = ("onnx-int8", "openvino-int8", "tflite-int8")


@pytest.mark.parametrize("name", FORMATS)
def test_every_span_of_two_thousand_texts(name: str, exported: Callable[..., Artifact]) -> None:
    artifact = exported("bert", name, TASKS["tokens"])
    count = 0
    with Model.load(artifact.path) as model:
        for text in texts(2000, seed=11, words=(1, 20)):
            end = 0
            for span in model.predict(text).spans:
                assert text[span.start : span.end] == span.text != ""
                assert end <= span.start < span.end <= len(text)
                end, count = span.end, count + 1
    assert count > 1000  # random weights: about every other word is in a span


@pytest.mark.parametrize("name", FORMATS)
def test_every_answer_in_two_thousand_texts(name: str, exported: Callable[..., Artifact]) -> None:
    artifact = exported("bert", name, TASKS["answers"])
    count = 0
    with Model.load(artifact.path) as model:
        for text in texts(2000, seed=12, words=(1, 20)):
            found = model.predict({"question": "rain", "context": text})
            if found.start is not None:
                assert text[found.start : found.end] == found.text != ""
                count += 1
    assert count > 1900
