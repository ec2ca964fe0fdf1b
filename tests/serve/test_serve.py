"""`edgebert serve` as a process, asked over loopback."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tiny_tasks import TASKS

from edgebert.artifact import Artifact
from edgebert.cli import main
from edgebert.model import Model

ROOT = Path(__file__).parents[2]


class Server:
    """A running server."""

    def __init__(self, artifact: Artifact, *options: str) -> None:
        command = [sys.executable, "-m", "edgebert", "serve", str(artifact.path), "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        told = self.process.stderr.readline()
        found = re.fullmatch(r"serving \S+ at http://127\.0\.0\.1:(\d+)\n", told)
        assert found, told + self.process.stderr.read()
        self.port = int(found[1])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, body (JSON where it is JSON) and headers of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = body if isinstance(body, bytes) or body is None else json.dumps(body)
        connection.request(method, path, given, headers)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        is_json = response.headers["content-type"] == "application/json"
        return response.status, json.loads(text) if is_json else text.decode(), response.headers

    def predict(self, body: Any) -> Any:
        status, found, _ = self.ask("POST", "/predict", body)
        assert status == 200, found
        return found


@pytest.fixture(scope="module")
def server(tiny_artifact: Artifact) -> Iterator[Server]:
    running = Server(tiny_artifact, "--queue", "8", "--workers", "2", "--max-body", "20000")
    yield running
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    assert running.process.stderr is not None and running.process.stderr.read() == ""


@pytest.fixture(scope="module")
def model(tiny_artifact: Artifact) -> Iterator[Model]:
    with Model.load(tiny_artifact.path) as loaded:
        yield loaded


def test_one_text_a_mapping_and_a_list(server: Server, model: Model) -> None:
    expected = [model.predict(text).to_json() for text in ("the rain now", "please song", "ünïcode 🎵 " * 30)]
    assert server.predict("the rain now") == expected[0]
    assert server.predict({"text": "please song"}) == expected[1]
    assert server.predict(["the rain now", {"text": "please song"}, "ünïcode 🎵 " * 30]) == expected
    assert expected[2]["truncated"] is True and server.predict([]) == []


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 9_000, 400, "not JSON"),
        (b'"a\\ud83d"', 422, "lone surrogate (U+D83D) at character 1"),
        (b'{"te\\udc00xt": "a"}', 422, "is not known"),
        ({"text": ""}, 422, "is empty"),
        ({"text": 3}, 422, "is a int, not a string"),
        ({}, 422, "has no 'text'"),
        (7, 422, "a int is no question"),
        ([["a"]], 422, "a list is no question"),
        (None, 400, "not JSON"),
        (["a"] * 9, 413, "9 texts in one request"),
        ({"text": "a" * 20_000}, 413, "more than 20,000 bytes"),
    ],
)
def test_what_cannot_be_answered(server: Server, body: Any, status: int, told: str) -> None:
    found, answer, _ = server.ask("POST", "/predict", body)
    assert found == status, answer
    assert told in answer["error"]["message"] and answer["error"]["hint"]


def test_a_body_without_length_is_cut_at_the_limit(server: Server) -> None:
    """Chunks: nobody says beforehand how many there will be."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/predict", iter([b"x" * 15_000, b"x" * 15_000]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert connection.getresponse().status == 413


def test_other_paths_and_methods(server: Server) -> None:
    for method, path, status in (("GET", "/predict", 405), ("GET", "/nothing", 404), ("POST", "/healthz", 405)):
        found, answer, headers = server.ask(method, path)
        assert found == status and "POST /predict" in answer["error"]["hint"]
        assert status != 405 or headers["allow"]


def test_healthz_and_metrics(server: Server, tiny_artifact: Artifact) -> None:
    status, health, _ = server.ask("GET", "/healthz")
    assert status == 200 and health["status"] == "ok" and health["artifact_id"] == tiny_artifact.artifact_id

    def metric(name: str) -> float:
        status, text, headers = server.ask("GET", "/metrics")
        assert status == 200 and headers["content-type"].startswith("text/plain")
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE))

    before, refused = metric("edgebert_texts_total"), metric('edgebert_requests_total{status="422"}')
    server.predict(["the rain now"] * 3)
    server.ask("POST", "/predict", {})
    assert metric("edgebert_texts_total") == before + 3
    assert metric('edgebert_requests_total{status="422"}') == refused + 1
    assert metric("edgebert_queue_limit") == 8 and metric("edgebert_texts_in_house") == 0
    assert metric("process_resident_memory_bytes") > 1e7
    assert server.ask("GET", "/openapi.json")[1]["paths"]["/predict"]["post"]["requestBody"]["required"]


def test_twice_the_room_at_once(server: Server, model: Model) -> None:
    """A server that wakes to 16 texts answers those that it has room for (8), and every client gets an answer."""
    clients = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(8)]
    for client in clients:  # connected, so that all the server wakes to is the requests
        client.request("GET", "/healthz")
        assert client.getresponse().read()
    texts = [["the rain now", f"please song {number}"] for number in range(8)]
    server.process.send_signal(signal.SIGSTOP)
    try:
        while state_of(server.process.pid) != "T":
            time.sleep(0.01)
        for client, asked in zip(clients, texts, strict=True):
            client.request("POST", "/predict", json.dumps(asked))
    finally:
        server.process.send_signal(signal.SIGCONT)
    statuses = []
    for client, asked in zip(clients, texts, strict=True):
        response = client.getresponse()
        found = json.loads(response.read())
        statuses.append(response.status)
        if response.status == 200:
            assert found == [model.predict(text).to_json() for text in asked]
        else:
            assert int(response.headers["retry-after"]) >= 1 and "too many" in found["error"]["message"]
        client.close()
    # A quick model may have answered some before the last were read: then there is room for more than four.
    assert set(statuses) == {200, 429} and statuses.count(200) >= 4


def state_of(pid: int) -> str:
    """Of a process, by Linux's letter: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_requests_on_their_way_fill_the_house(server: Server) -> None:
    """Clients that send half a body hold their places, and no more than there are; each is given up after a while."""
    slow = []
    for _ in range(8):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n[")
        slow.append(client)
    deadline = time.monotonic() + 20
    status, headers = 0, None
    while status != 429 and time.monotonic() < deadline:
        status, answer, headers = server.ask("POST", "/predict", "rain")
    assert status == 429 and int(headers["retry-after"]) >= 1 and "too many" in answer["error"]["message"]
    for client in slow:
        client.close()
    while status == 429 and time.monotonic() < deadline:
        status, _, _ = server.ask("POST", "/predict", "rain")
    assert status == 200


def test_a_task_of_two_texts(exported_pair: Artifact) -> None:
    running = Server(exported_pair)
    try:
        with Model.load(exported_pair.path) as model:
            expected = model.predict(("rain", "song")).to_json()
        assert running.predict({"text": "rain", "text_pair": "song"}) == expected
        status, answer, _ = running.ask("POST", "/predict", "rain")
        assert status == 422 and '"text_pair": …' in answer["error"]["hint"]
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture(scope="module")
def exported_pair(make_teacher: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from edgebert.exporting import export_artifact
    from edgebert.tasks import settings_of

    folder = tmp_path_factory.mktemp("pair")
    task = TASKS["pair"]
    return export_artifact(
        make_teacher(task=task, layers=1).path, task=task.name, format="onnx", precision="fp32", lengths=(16,),
        calibration=write_pairs(folder / "pairs.jsonl"), target=folder / "onnx-fp32", log=folder / "log",
        settings=settings_of(task),
    )  # fmt: skip


def write_pairs(path: Path) -> Path:
    path.write_text("".join(json.dumps({"text": "rain", "text_pair": w}) + "\n" for w in ("song", "lamp")), "utf-8")
    return path


def test_errors_before_the_server_starts(tiny_artifact: Artifact, tmp_path: Path) -> None:
    def refused(code: int, told: str, *arguments: str) -> None:
        done = CliRunner().invoke(main, ["serve", *arguments])
        assert done.exit_code == code and told in done.stderr and "Traceback" not in done.stderr, done.stderr

    refused(4, "no artifact", str(tmp_path), "--port", "0")
    refused(2, "--queue 1 is less than 2 workers", str(tiny_artifact.path), "--queue", "1", "--workers", "2")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(2, f"cannot listen on 127.0.0.1:{port}", str(tiny_artifact.path), "--port", str(port))


def test_without_the_extra_it_says_what_to_install(tiny_artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = CliRunner().invoke(main, ["serve", str(tiny_artifact.path)])
    assert done.exit_code == 2 and 'pip install "edgebert[serve]"' in done.stderr


@pytest.mark.slow
def test_twice_the_capacity(tiny_artifact: Artifact) -> None:
    """Ten seconds of what `benchmarks/serve.py` does for sixty; how many are answered is the machine's affair."""
    command = [sys.executable, str(ROOT / "benchmarks" / "serve.py"), str(tiny_artifact.path), "--json"]
    done = subprocess.run([*command, "--seconds", "10", "--queue", "256"], capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout or "{}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["answered"] > 0 and found["refused"] > 0
    assert found["wrong"] == 0 and found["errors"] == [] and found["cut_off"] == 0
    assert found["rss_mb"][1] - found["rss_mb"][0] < 20
