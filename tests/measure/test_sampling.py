"""Which answers the worker times: of new texts whose words are known as far as any new text's are, over a second."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edgebert import worker
from edgebert.artifact import Artifact
from edgebert.model import Model

SAMPLES = 60


class Told:
    """A model that tells what it was asked, in order; it may take a while."""

    def __init__(self, model: Model, seconds: float = 0.0) -> None:
        self.model, self.seconds = model, seconds
        self.met: list[str] = []
        self.asked: list[str] = []

    def encode(self, record: Any) -> Any:
        self.met.append(record["text"])
        return self.model.encode(record)

    def predict_record(self, record: Any) -> Any:
        self.asked.append(record["text"])
        time.sleep(self.seconds)
        return self.model.predict_record(record)


@pytest.fixture
def model(tiny_artifact: Artifact) -> Iterator[Model]:
    with Model.load(tiny_artifact.path) as loaded:
        yield loaded


def timed(told: Told, records: list[dict[str, str]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The events of one launch: those with samples, and the one about warming up."""
    handle = io.StringIO()
    job = worker.Job(artifact="", records="", samples=SAMPLES, seed=3)
    worker._latency(told, records, job, worker.Output(handle))  # type: ignore[arg-type]
    *latency, warm = map(json.loads, handle.getvalue().splitlines())
    return latency, warm


def test_sampled_texts_are_new_and_the_words_of_all_others_are_met(model: Model) -> None:
    records = [{"text": f"the {number} lamp now"} for number in range(300)]
    told = Told(model)
    latency, warm = timed(told, records)
    drawn = [records[index]["text"] for event in latency for index in event["records"]]
    assert len(drawn) == SAMPLES == sum(len(event["ms"]) for event in latency)
    assert set(told.met) == {record["text"] for record in records} - set(drawn)
    assert [text for text in told.asked if text in set(drawn)] == drawn, "asked when it is timed, and at no other time"
    assert len(told.asked) == warm["calls"] + 16 + warm["every"] * SAMPLES
    assert sum(event["watch"]["answers"] for event in latency) == warm["every"] * SAMPLES


def test_a_slow_model_is_timed_at_every_answer(model: Model) -> None:
    told = Told(model, seconds=1.2 * worker.SPREAD)
    _, warm = timed(told, [{"text": f"the {number} lamp"} for number in range(200)])
    assert warm["every"] == 1


def test_a_quick_model_is_timed_now_and_then(model: Model) -> None:
    start = time.monotonic()
    latency, warm = timed(Told(model), [{"text": f"the {number} lamp"} for number in range(200)])
    seconds = sum(event["watch"]["seconds"] for event in latency)
    assert warm["every"] > 1 or time.monotonic() - start > SAMPLES * worker.SPREAD
    assert seconds > 0.3 * SAMPLES * worker.SPREAD


def test_where_texts_are_few_all_of_them_are_met(model: Model) -> None:
    told = Told(model)
    timed(told, [{"text": f"the {number} lamp"} for number in range(worker.ENOUGH)])
    assert len(set(told.met)) == worker.ENOUGH
