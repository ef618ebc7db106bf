"""Frames over a socket: a head in JSON and a blob of bytes, such as a message as it is on the wire. No pickle."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Any

_SIZES = struct.Struct("<IQ")  # bytes of the head, of the blob
_SHORT = 1 << 15  # bytes that are worth a copy
_ONE_READ, _MOST_READ = 1 << 16, 1 << 24
MOST_HEAD, MOST_BLOB = 1 << 24, 1 << 34


class Channel:
    """Any thread may send; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ahead = bytearray()  # received and not taken yet: a short frame is one call
        self._sending = threading.Lock()

    def send(self, head: dict[str, Any], blob: bytes = b"") -> None:
        """Raises OSError when the other side is gone."""
        text = json.dumps(head).encode()
        with self._sending:
            frame = _SIZES.pack(len(text), len(blob)) + text
            if len(blob) <= _SHORT:
                self._sock.sendall(frame + blob)  # one write, and the other side wakes once
            else:
                self._sock.sendall(frame)
                self._sock.sendall(blob)

    def receive(self) -> tuple[dict[str, Any], bytes] | None:
        """None when the other side is gone."""
        sizes = self._read(_SIZES.size)
        if sizes is None:
            return None
        head_size, blob_size = _SIZES.unpack(sizes)
        if head_size > MOST_HEAD or blob_size > MOST_BLOB:
            return None
        head, blob = self._read(head_size), self._read(blob_size)
        return None if head is None or blob is None else (json.loads(head), blob)

    def _read(self, size: int) -> bytes | None:
        ahead = self._ahead
        while len(ahead) < size:
            try:
                more = self._sock.recv(max(_ONE_READ, min(size - len(ahead), _MOST_READ)))
            except OSError:
                return None
            if not more:
                return None
            ahead += more
        taken = bytes(memoryview(ahead)[:size])
        del ahead[:size]
        return taken

    def close(self) -> None:
        """Also wakes who receives."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
