"""What a server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self, artifact: str, artifact_id: str, engine: str, queue: int) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "edgebert_requests", "Requests to /predict by HTTP status.", ["status"], registry=registry
        )
        self.texts = Counter("edgebert_texts", "Texts answered.", registry=registry)
        self.request_seconds = Histogram(
            "edgebert_request_seconds",
            "From the first byte of a request to its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self.predict_seconds = Histogram(
            "edgebert_predict_seconds",
            "One text: tokenization, engine, decoding.",
            buckets=SECONDS,
            registry=registry,
        )
        self.in_house = Gauge("edgebert_texts_in_house", "Texts waiting or being answered.", registry=registry)
        Gauge("edgebert_queue_limit", "Texts that may be in the house.", registry=registry).set(queue)
        labels = ["name", "artifact_id", "engine"]
        told = Gauge("edgebert_artifact", "1; the labels say what is served.", labels, registry=registry)
        told.labels(artifact, artifact_id, engine).set(1)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """In the text form that Prometheus reads."""
        return generate_latest(self._registry)
