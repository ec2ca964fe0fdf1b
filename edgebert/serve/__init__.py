"""An artifact as a service over HTTP: `edgebert serve ARTIFACT`; for users: `docs/serving.md`.

One model answers from a few threads; what comes faster than it can answer is told to come back (429), so that
neither the queue nor the memory grows. FastAPI and uvicorn come with the extra `serve`.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from edgebert.errors import UsageError, require

#: Seconds that requests in progress have when the server is told to end.
GRACE = 30


@dataclass(frozen=True)
class Limits:
    """What a server accepts.

    Args:
        workers: texts that are answered at the same time.
        queue: texts that may be in the house, waiting ones included; what comes on top is told to come back.
        max_body: bytes of a request.
        body_seconds: how long a client may take to send one.
    """

    workers: int
    queue: int = 64
    max_body: int = 1 << 20
    body_seconds: float = 10.0


def default_workers(threads: int) -> int:
    """As many as the cores that this process may use can feed, each with `threads` engine threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // threads)


def serve(
    artifact: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    threads: int = 1,
    workers: int | None = None,
    queue: int = 64,
    max_body: int = 1 << 20,
) -> None:
    """Load an artifact and answer HTTP requests until SIGTERM or SIGINT; requests in progress are finished first.

    Args:
        artifact: a folder.
        host: address to listen on.
        port: 0 for a free one, which is then told on stderr.
        threads: engine threads of one answer.
        workers, queue, max_body: see `Limits`; workers by default as `default_workers`.

    Raises:
        ArtifactError: no artifact, damaged, or refused by the engine.
        MissingExtra: FastAPI, uvicorn, prometheus_client or the engine is not installed.
        UsageError: the address cannot be listened on.
    """
    for name in ("fastapi", "uvicorn", "prometheus_client"):
        require(name, "serve")
    import uvicorn

    from edgebert.model import Model

    from .app import make_app

    limits = Limits(workers or default_workers(threads), queue, max_body)
    if limits.workers > limits.queue:
        raise UsageError(
            f"--queue {queue} is less than {limits.workers} workers", f"give --queue {limits.workers} or more"
        )
    listening = _listen(host, port)
    with listening, Model.load(artifact, threads=threads) as model:
        config = uvicorn.Config(
            make_app(model, limits),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            # Beyond what is told to come back politely: connections that are open at all.
            limit_concurrency=max(1024, 8 * queue),
        )
        # uvicorn raises the signal that ended it once more when all is done: that is no failure here.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        where = listening.getsockname()
        shown = f"[{where[0]}]" if ":" in where[0] else where[0]
        print(f"serving {model.artifact.manifest.name} at http://{shown}:{where[1]}", file=sys.stderr, flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error}", "give another --host or --port") from error
