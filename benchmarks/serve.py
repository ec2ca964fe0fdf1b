"""Does `edgebert serve` stand twice its capacity? `python benchmarks/serve.py ARTIFACT [--seconds 60] [--json]`.

Starts the server on loopback with `--queue` texts of room, and keeps twice as many texts on their way to it from a
process of its own: eight connections, each with a list of a quarter of the room, and with the next one as soon as there
is an answer, also when that was to come back later. Prints how many were answered, how many were told to come back
(429), the latency of both, errors, wrong answers (each is compared with `edgebert.load(ARTIFACT).predict`), and the
server's memory after warm-up and at the end. The last step is a SIGTERM in the middle of a request: what was accepted
must still be answered.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import edgebert
from edgebert import golden
from edgebert.artifact import Artifact

#: Requests that fill the room. Few and long ones: the model is then what the server waits for, and not its HTTP, which
#: would keep a small model waiting and the room empty.
FILLING = 4
WARM = 0.2  # share of the time after which memory is first looked at

#: Questions with their right answers.
Pool = list[tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Asked:
    """A request as it is sent, and the body that must come back."""

    request: bytes
    answer: bytes


class Line:
    """One connection with one request on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._read = b""

    def ask(self, asked: Asked) -> None:
        """Send; the answer is for `received`."""
        self.asked, self.since = asked, time.perf_counter()
        self.socket.sendall(asked.request)

    def received(self) -> tuple[int, bytes, bytes] | None:
        """Status, headers and body when all of them are there. Raises OSError when the server hung up."""
        got = self.socket.recv(1 << 16)
        if not got:
            raise ConnectionError("the server hung up")
        self._read += got
        headers, _, body = self._read.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", headers)
        if length is None or len(body) < int(length[1]):
            return None
        self._read = b""
        return int(headers[9:12]), headers, body


class Load(threading.Thread):
    """Keeps a request on its way over each of `count` connections until the time is over.

    One thread without a pause, whose requests were made beforehand and whose answers are compared as bytes: it spends
    a fraction of what a server spends on a request. So the server never waits for its clients, however quick it is.
    """

    def __init__(self, port: int, count: int, asked: Sequence[Asked], until: float) -> None:
        super().__init__()
        self.until = until
        self._asked, self._draw = asked, random.Random(0)
        self._lines = [Line(port) for _ in range(count)]
        self.answered: list[float] = []
        self.refused: list[float] = []
        self.wrong = 0
        self.errors: list[str] = []

    def run(self) -> None:
        """Ask, compare, count; what is on its way in the end is waited for."""
        with selectors.DefaultSelector() as waiting:
            for line in self._lines:
                waiting.register(line.socket, selectors.EVENT_READ, line)
                line.ask(self._draw.choice(self._asked))
            while waiting.get_map():
                ready = waiting.select(60)
                for key, _ in ready:
                    if not self._goes_on(key.data):
                        waiting.unregister(key.fileobj)
                if not ready:
                    self.errors.append("no answer for 60 s")
                    break
        for line in self._lines:
            line.socket.close()

    def _goes_on(self, line: Line) -> bool:
        """Whether this connection still has a request on its way, now that something has come."""
        try:
            found = line.received()
            if found is None:
                return True
            self._count(line, *found)
            if time.monotonic() >= self.until:
                return False
            line.ask(self._draw.choice(self._asked))
        except OSError as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            return False
        return True

    def _count(self, line: Line, status: int, headers: bytes, body: bytes) -> None:
        took = time.perf_counter() - line.since
        if status == 429 and re.search(rb"(?i)\r\nretry-after: [1-9]", headers):
            self.refused.append(took)
        elif status != 200:
            self.errors.append(f"{status}: {body[:300]!r}")
        else:
            self.answered.append(took)
            self.wrong += body != line.asked.answer


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


def metric(port: int, name: str) -> int:
    """A figure of the server as it says itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(float(re.search(rf"^{name} (\S+)", text, re.MULTILINE)[1]))  # type: ignore[index]


def memory(port: int) -> int:
    """Resident bytes of the server."""
    return metric(port, "process_resident_memory_bytes")


def pool_of(artifact: Path) -> Pool:
    """Questions of mixed lengths with their right answers."""
    with edgebert.load(artifact) as model:
        loaded: Artifact = model.artifact
        records = [dict(record) for record in golden.records_of(loaded)]
        first = model.task.roles[-1]
        asked = [r | {first: " ".join([r[first]] * n)} for r in records for n in (1, 3, 100)]
        return [(record, model.predict(record).to_json()) for record in asked]


def asked_of(pool: Pool, texts: int, count: int = 64) -> list[Asked]:
    """Requests of so many texts each, and their right answers as the server writes JSON."""
    draw = random.Random(0)
    found = []
    for _ in range(count):
        chosen = draw.choices(pool, k=texts)
        body = json.dumps([text for text, _ in chosen]).encode()
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = json.dumps([answer for _, answer in chosen], ensure_ascii=False)
        found.append(Asked(head.encode() + body, answer.encode()))
    return found


def hold(artifact: Path, *, seconds: float, queue: int, workers: int) -> dict[str, Any]:
    """The whole trial; see the module's text."""
    pool, texts = pool_of(artifact), max(1, queue // FILLING)
    room = max(len(json.dumps([text] * texts)) for text, _ in pool)
    server, port = start(artifact, "--queue", str(queue), "--workers", str(workers), "--max-body", str(room))
    try:
        load = Load(port, 2 * FILLING, asked_of(pool, texts), time.monotonic() + seconds)
        load.start()
        time.sleep(WARM * seconds)
        first = memory(port)
        load.join()
        last = memory(port)
        code, cut = ended(server, port, pool, texts)
    finally:
        server.kill()
        server.wait()
    answered, refused = sorted(load.answered), sorted(load.refused)
    return {
        "artifact": artifact.name, "seconds": seconds, "queue": queue, "workers": workers,
        "connections": 2 * FILLING, "texts_a_request": texts, "answered": len(answered), "refused": len(refused),
        "texts_a_second": round(len(answered) * texts / seconds, 1),
        "answered_ms": spread(answered), "refused_ms": spread(refused),
        "wrong": load.wrong, "errors": load.errors,
        "rss_mb": [round(first / 1e6, 1), round(last / 1e6, 1)], "exit_code": code, "cut_off": cut,
    }  # fmt: skip


def ended(server: subprocess.Popen[str], port: int, pool: Pool, texts: int) -> tuple[int, int]:
    """SIGTERM while a request is being answered: the exit code, and whether that request was cut off (0 or 1)."""
    longest = max(pool, key=lambda item: len(json.dumps(item[0])))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/predict", json.dumps([longest[0]] * texts))
    while not (metric(port, "edgebert_texts_in_house") or select.select([connection.sock], [], [], 0)[0]):
        pass  # not in the house yet
    server.send_signal(signal.SIGTERM)
    try:
        response = connection.getresponse()
        whole = response.status == 200 and json.loads(response.read()) == [longest[1]] * texts
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
