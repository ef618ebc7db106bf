"""A cache of machine code on disk, shared by processes: what was compiled once, for a CPU or a GPU, is loaded next time.

What lies in it is run, so it must be ours alone: a folder that somebody else could write to is not used, and each entry
is looked at again when it is opened. The hash in an entry finds damage; it does not keep out whoever can write there.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import struct
import time
from collections.abc import Iterator, Sequence

_log = logging.getLogger("pyringkernel")

MAX_BYTES = 256 << 20
MAX_ENTRIES = 4096
_MAX_ENTRY_BYTES = 64 << 20
_ABANDONED_SECONDS = 3600.0  # what a writer that died has left
_SUFFIX = ".rkc"

# magic and version, key, length and SHA-256 of the body; then the body
_HEAD = struct.Struct("<8s32sQ32s")
_MAGIC = b"rkcache\x01"

_OPEN = os.O_CLOEXEC | os.O_NOFOLLOW


class _RefusedError(Exception):
    """The folder cannot be used; the text says why."""


def key_of(parts: Sequence[str | bytes]) -> str:
    """A key: SHA-256 over all the parts and where each ends."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(struct.pack("<Q", len(data)))
        digest.update(data)
    return digest.hexdigest()


def default_path() -> str | None:
    """Where the cache is: $PYRINGKERNEL_CACHE_DIR, $XDG_CACHE_HOME/pyringkernel or ~/.cache/pyringkernel. None: the
    first is empty, or there is no home."""
    chosen = os.environ.get("PYRINGKERNEL_CACHE_DIR")
    if chosen is not None:
        return os.path.abspath(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # as the XDG specification asks
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "pyringkernel") if os.path.isabs(base) else None


class CompileCache:
    """A folder of entries. Never raises: what goes wrong is a miss, and is logged once.

    The limits are kept by removing the entries that were not used for the longest time. Other processes add entries too,
    so they may be exceeded for a while.
    """

    def __init__(self, path: str, *, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.max_entries = max_entries
        self._warned = False
        self._bytes = self._entries = -1  # at least what is there; -1: not counted yet

    def get(self, key: str) -> bytes | None:
        """The body that was put under `key`. None when there is none, or none that can be trusted."""
        with self._guard(), self._folder() as folder:
            try:
                file = os.open(key + _SUFFIX, os.O_RDONLY | os.O_NONBLOCK | _OPEN, dir_fd=folder)
            except OSError:  # not there, or a link
                return None
            with open(file, "rb", buffering=0) as opened:
                body = _read(opened.fileno(), key)
                if body is not None:
                    with contextlib.suppress(OSError):
                        os.utime(opened.fileno())
                return body
        return None

    def put(self, key: str, body: bytes) -> None:
        """Adds or replaces an entry; a reader sees the old one or the new one."""
        head = _HEAD.pack(_MAGIC, bytes.fromhex(key), len(body), hashlib.sha256(body).digest())
        if len(body) > min(_MAX_ENTRY_BYTES, self.max_bytes):
            return
        with self._guard(), self._folder() as folder:
            temporary = f".{key[:16]}.{os.getpid()}.{os.urandom(8).hex()}"
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600, dir_fd=folder)
            try:
                with open(file, "wb", buffering=0) as opened:
                    _write(opened.fileno(), head + body)
                os.rename(temporary, key + _SUFFIX, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            self._added(folder, len(head) + len(body))

    # -- limits

    def _added(self, folder: int, size: int) -> None:
        if self._entries >= 0:
            self._bytes += size
            self._entries += 1
        if self._entries < 0 or self._bytes > self.max_bytes or self._entries > self.max_entries:
            self._prune(folder)

    def _prune(self, folder: int) -> None:
        """Counts what is there, and removes the oldest until a tenth of the limits is free again."""
        found: list[tuple[float, int, str]] = []
        now = time.time()
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    info = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(_SUFFIX):
                        found.append((info.st_mtime, info.st_size, entry.name))
                    elif entry.name.startswith(".") and now - info.st_mtime > _ABANDONED_SECONDS:
                        os.unlink(entry.name, dir_fd=folder)
        self._bytes, self._entries = sum(size for _, size, _ in found), len(found)
        if self._bytes <= self.max_bytes and self._entries <= self.max_entries:
            return
        for _, size, name in sorted(found):
            if self._bytes <= self.max_bytes * 9 // 10 and self._entries <= self.max_entries * 9 // 10:
                break
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
            self._bytes -= size
            self._entries -= 1

    # -- the folder

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (OSError, _RefusedError) as error:
            if not self._warned:
                self._warned = True
                _log.warning("the compile cache %s is not used: %s", self.path, error)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[int]:
        """The folder, opened; all else is relative to that, so it cannot be exchanged meanwhile."""
        _make_folders(self.path)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            reason = _suspicious(os.fstat(folder))
            if reason:
                raise _RefusedError(f"it {reason}")
            yield folder
        finally:
            os.close(folder)


def _suspicious(info: os.stat_result) -> str:
    if info.st_uid != os.geteuid():
        return f"belongs to user {info.st_uid}"
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "can be written to by other users"
    return ""


def _make_folders(path: str) -> None:
    """Makes what is missing, for us alone. A link on the way has to be ours or root's."""
    parts = os.path.abspath(path).split(os.sep)
    for end in range(2, len(parts) + 1):
        folder = os.sep.join(parts[:end])
        try:
            info = os.lstat(folder)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # by another process just now
                os.mkdir(folder, 0o700)
            info = os.lstat(folder)
        if stat.S_ISLNK(info.st_mode) and info.st_uid not in (0, os.geteuid()):
            raise _RefusedError(f"{folder} is a link that belongs to user {info.st_uid}")


# -- one entry --------------------------------------------------------------------------------------------------------


def _read(file: int, key: str) -> bytes | None:
    info = os.fstat(file)
    if not stat.S_ISREG(info.st_mode) or _suspicious(info) or info.st_size > _MAX_ENTRY_BYTES + _HEAD.size:
        return None
    data = bytearray()
    while len(data) < info.st_size:
        part = os.read(file, info.st_size - len(data))
        if not part:
            return None
        data += part
    if len(data) < _HEAD.size:
        return None
    magic, owner, length, digest = _HEAD.unpack_from(data)
    body = bytes(data[_HEAD.size :])
    fits = magic == _MAGIC and owner == bytes.fromhex(key) and length == len(body)
    return body if fits and hashlib.sha256(body).digest() == digest else None


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


_default: CompileCache | None = None


def default_cache() -> CompileCache | None:
    """The cache at default_path(); None when it is switched off."""
    global _default
    path = default_path()
    if path is None:
        return None
    if _default is None or _default.path != path:
        _default = CompileCache(path)
    return _default
