"""A line that can be cut or frozen: a TCP relay between two ports of loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Proxy:
    """Relays connections to `port`; counts what comes back, and may stop after so many bytes of it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.received = 0
        self.frozen = threading.Event()
        self.cut_at: float | None = None
        self._limit: int | None = None
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, count: int) -> None:
        """Cut every connection when so many more bytes have come back."""
        with self._lock:
            self._limit = self.received + count

    def close(self) -> None:
        """Cut everything now."""
        self._server.close()
        self._cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                threading.Thread(target=self._relay, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._relay, args=(server, client, True), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.frozen.is_set():
                    threading.Event().wait(3600)  # as with a pulled cable, nobody is told
                if back:
                    with self._lock:
                        if self._limit is not None and self.received + len(data) >= self._limit:
                            data = data[: self._limit - self.received]
                        self.received += len(data)
                target.sendall(data)
                if back and self.received == self._limit:
                    self.cut_at = time.monotonic()
                    self._limit = None  # the next connection is a new line
                    break
        self._cut()

    def _cut(self) -> None:
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
