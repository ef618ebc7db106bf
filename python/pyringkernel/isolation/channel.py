"""Frames over a socket: a head in JSON and a blob of bytes, such as a message as it is on the wire. No pickle."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Any

_SIZES = struct.Struct("<IQ")  # bytes of the head, of the blob
MOST_HEAD, MOST_BLOB = 1 << 24, 1 << 34


class Channel:
    """Any thread may send; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()

    def send(self, head: dict[str, Any], blob: bytes = b"") -> None:
        """Raises OSError when the other side is gone."""
        text = json.dumps(head).encode()
        with self._sending:
            self._sock.sendall(_SIZES.pack(len(text), len(blob)) + text)
            if blob:
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
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            try:
                more = self._sock.recv_into(view[got:])
            except OSError:
                return None
            if more == 0:
                return None
            got += more
        return bytes(data)

    def close(self) -> None:
        """Also wakes who receives."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
