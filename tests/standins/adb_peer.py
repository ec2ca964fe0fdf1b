"""A device as adb sees it when its owner has not accepted this computer: `python adb_peer.py PORT unauthorized|silent`.

It speaks the beginning of adb's own protocol (a header of six little-endian words, then data): to CNXN it answers
AUTH with a token, whatever is signed or offered. `silent` answers nothing, as a device does whose adbd hangs.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading

AUTH = int.from_bytes(b"AUTH", "little")
TOKEN = 1


def serve(connection: socket.socket, answers: bool) -> None:
    """Read messages; answer each with a token."""
    stream = connection.makefile("rb")
    while header := stream.read(24):
        size = struct.unpack("<6I", header)[3]
        stream.read(size)
        if answers:
            data = bytes(range(20))
            connection.sendall(struct.pack("<6I", AUTH, TOKEN, 0, len(data), sum(data), AUTH ^ 0xFFFFFFFF) + data)


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
        while True:
            accepted, _ = server.accept()
            threading.Thread(target=serve, args=(accepted, sys.argv[2] == "unauthorized"), daemon=True).start()
