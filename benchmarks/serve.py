"""Does `edgebert serve` stand twice its capacity? `python benchmarks/serve.py ARTIFACT [--seconds 60] [--json]`.

Starts the server on loopback with `--queue` texts of room, and keeps twice as many texts on their way to it from a
process of its own: connections that each send lists of texts, one request after another. Prints how many were
answered, how many were told to come back (429), the latency of both, errors, wrong answers (each is compared with
`edgebert.load(ARTIFACT).predict`), and the server's memory after warm-up and at the end. The last step is a SIGTERM
in the middle of the load: what was accepted must still be answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import edgebert
from edgebert import golden
from edgebert.artifact import Artifact

LIST = 4  # texts of one request
WARM = 0.2  # share of the time after which memory is first looked at


class Client(threading.Thread):
    """One connection that asks until it is told to stop."""

    def __init__(self, port: int, pool: Sequence[tuple[Any, dict[str, Any]]], until: float, seed: int) -> None:
        super().__init__()
        self.port, self.pool, self.until = port, pool, until
        self.draw = random.Random(seed)
        self.answered: list[float] = []
        self.refused: list[float] = []
        self.wrong = 0
        self.errors: list[str] = []

    def run(self) -> None:
        """Ask, compare, count."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while time.monotonic() < self.until:
            chosen = self.draw.choices(self.pool, k=LIST)
            start = time.perf_counter()
            try:
                connection.request("POST", "/predict", json.dumps([text for text, _ in chosen]))
                response = connection.getresponse()
                body = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                return
            took = time.perf_counter() - start
            if response.status == 429 and int(response.headers["Retry-After"]) >= 1:
                self.refused.append(took)
                time.sleep(0.02)  # far less than it was told: the load has to stay
            elif response.status != 200:
                self.errors.append(f"{response.status}: {body}")
            else:
                self.answered.append(took)
                self.wrong += body != [answer for _, answer in chosen]


def start(artifact: Path, *options: str) -> tuple[subprocess.Popen[str], int]:
    """A server on a free port of loopback, and that port."""
    command = [sys.executable, "-m", "edgebert", "serve", str(artifact), "--port", "0", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    told = server.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+)", told)
    if found is None:
        raise SystemExit(told + server.stderr.read())
    return server, int(found[1])


def memory(port: int) -> int:
    """Resident bytes of the server, as it says itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)[1]))  # type: ignore[index]


def pool_of(artifact: Path) -> list[tuple[Any, dict[str, Any]]]:
    """Questions of mixed lengths with their right answers."""
    with edgebert.load(artifact) as model:
        loaded: Artifact = model.artifact
        records = [dict(record) for record in golden.records_of(loaded)]
        first = model.task.roles[-1]
        asked = [r | {first: " ".join([r[first]] * n)} for r in records for n in (1, 3, 100)]
        return [(record, model.predict(record).to_json()) for record in asked]


def hold(artifact: Path, *, seconds: float, queue: int, workers: int) -> dict[str, Any]:
    """The whole trial; see the module's text."""
    pool = pool_of(artifact)
    server, port = start(artifact, "--queue", str(queue), "--workers", str(workers))
    try:
        until = time.monotonic() + seconds
        clients = [Client(port, pool, until, seed) for seed in range(2 * queue // LIST)]
        for client in clients:
            client.start()
        time.sleep(WARM * seconds)
        first = memory(port)
        for client in clients:
            client.join()
        last = memory(port)
        code, cut = ended(server, port, pool)
    finally:
        server.kill()
        server.wait()
    answered = sorted(took for client in clients for took in client.answered)
    refused = sorted(took for client in clients for took in client.refused)
    return {
        "artifact": artifact.name, "seconds": seconds, "queue": queue, "workers": workers,
        "clients": len(clients), "texts_a_request": LIST, "answered": len(answered), "refused": len(refused),
        "texts_a_second": round(len(answered) * LIST / seconds, 1),
        "answered_ms": spread(answered), "refused_ms": spread(refused),
        "wrong": sum(client.wrong for client in clients), "errors": [e for client in clients for e in client.errors],
        "rss_mb": [round(first / 1e6, 1), round(last / 1e6, 1)], "exit_code": code, "cut_off": cut,
    }  # fmt: skip


def ended(server: subprocess.Popen[str], port: int, pool: Sequence[tuple[Any, dict[str, Any]]]) -> tuple[int, int]:
    """SIGTERM while a request is being answered: the exit code, and whether that request was cut off (0 or 1)."""
    longest = max(pool, key=lambda item: len(json.dumps(item[0])))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict", json.dumps([longest[0]] * LIST))
    time.sleep(0.002)
    server.send_signal(signal.SIGTERM)
    try:
        response = connection.getresponse()
        whole = response.status == 200 and json.loads(response.read()) == [longest[1]] * LIST
    except (OSError, http.client.HTTPException, ValueError):
        whole = False
    return server.wait(60), int(not whole)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds."""
    if len(values) < 2:
        return {}
    return {"p50": round(median(values) * 1e3, 2), "p99": round(quantiles(values, n=100)[98] * 1e3, 2)}


def main() -> None:
    """Print a line a fact, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = hold(given.artifact, seconds=given.seconds, queue=given.queue, workers=given.workers)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            print(f"{name:>16}  {value}")
    good = found["answered"] and found["refused"] and not (found["wrong"] or found["errors"] or found["exit_code"])
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
