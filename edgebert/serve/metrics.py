"""What a server counts, for Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self, artifact: str, artifact_id: str, engine: str, queue: int) -> None:
        self._registry = CollectorRegistry()
        common: Any = {"registry": self._registry, "namespace": "edgebert"}
        self.requests = Counter("requests", "Requests to /predict by HTTP status.", ["status"], **common)
        self.texts = Counter("texts", "Texts answered.", **common)
        self.request_seconds = Histogram(
            "request_seconds", "From the first byte of a request to its answer.", buckets=SECONDS, **common
        )
        self.predict_seconds = Histogram(
            "predict_seconds", "One text: tokenization, engine, decoding.", buckets=SECONDS, **common
        )
        self.in_house = Gauge("texts_in_house", "Texts waiting or being answered.", **common)
        Gauge("queue_limit", "Texts that may be in the house.", **common).set(queue)
        told = Gauge("artifact", "1; the labels say what is served.", ["name", "artifact_id", "engine"], **common)
        told.labels(artifact, artifact_id, engine).set(1)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """In the text form that Prometheus reads."""
        return generate_latest(self._registry)
