"""Follows a file that a process writes and supervisord rotates (``app.log`` → ``.1`` → ``.2``), from a saved cursor.

A cursor is the inode and the offset behind the last line that was stored. The file stays open while it is followed,
so the inode is not given to another one meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

BACKUPS = 2  # how many older files a rotation keeps
EMPTIED_AT = 64 * 1024 * 1024  # bytes. supervisord rotates long before; under systemd nobody does


class Piece(NamedTuple):
    data: bytes
    cursor: dict[str, object] | None  # behind the last newline in ``data``; None: there is none in it
    missed: bool = False  # what came before was rotated away unread


class FileTail:
    def __init__(self, path: Path, cursor: Mapping[str, object], emptied_at: int = EMPTIED_AT) -> None:
        self.path = path
        self.emptied_at = emptied_at
        self._fd: int | None = None
        self._inode = 0
        self._offset = 0
        self._missed = False
        self._at_line_end = True
        self.rewind(cursor)

    def rewind(self, cursor: Mapping[str, object]) -> None:
        """Go on behind ``cursor``. Without one, begin with the oldest file there is."""
        self.close()
        self._at_line_end = True
        inode, offset = cursor.get("inode"), cursor.get("offset")
        existing = [path for path in self._from_oldest() if path.exists()]
        if not isinstance(inode, int) or not isinstance(offset, int):
            if existing:
                self._open(existing[0])
            return
        for path in existing:
            if self._open(path) and self._inode == inode:
                self._offset = offset if offset <= os.fstat(self._fd or 0).st_size else 0
                return
        self._missed = True
        if existing:
            self._open(existing[0])

    def read(self, most: int) -> Piece | None:
        """What is there, up to ``most`` bytes; None when there is nothing more for now. Whoever asks again has stored
        what it got before."""
        if self._fd is None and not self._open(self.path):
            return None
        data = self._read_on(most)
        while not data and not self._truncated():
            following = self._following()
            # Once more: it may have grown between the first look and its rotation. After that nobody writes to it.
            data = self._read_on(most)
            if data or following is None or not self._open(*following):
                break
            data = self._read_on(most)
        if not data:
            self._empty_if_large()
            return None
        start = self._offset
        self._offset += len(data)
        newline = data.rfind(b"\n")
        cursor: dict[str, object] | None = (
            {"inode": self._inode, "offset": start + newline + 1} if newline >= 0 else None
        )
        self._at_line_end = newline == len(data) - 1
        missed, self._missed = self._missed, False
        return Piece(data, cursor, missed)

    def position(self) -> dict[str, object]:
        """Behind everything that was read, with an unfinished line at the end."""
        return {"inode": self._inode, "offset": self._offset} if self._fd is not None else {}

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read_on(self, most: int) -> bytes:
        return os.pread(self._fd, most, self._offset) if self._fd is not None else b""

    def _truncated(self) -> bool:
        """Whether somebody emptied the file in place; then reading begins at its start."""
        if self._fd is None or os.fstat(self._fd).st_size >= self._offset:
            return False
        self._offset = 0
        return True

    def _empty_if_large(self) -> None:
        """A file that nobody rotates is emptied in place once all of it was read: its writer appends, so it goes on at
        the start. What is written between the last look and the truncation is lost."""
        if self._fd is None or self._offset < self.emptied_at or not self._at_line_end:
            return
        seen = os.fstat(self._fd)
        with suppress(FileNotFoundError):
            if seen.st_size == self._offset and self.path.stat().st_ino == self._inode:
                os.truncate(self.path, 0)
                self._offset = 0

    def _following(self) -> tuple[Path, int] | None:
        """Name and inode of the file that came after the one that is read, if there was a rotation."""
        newest_first = list(self._from_oldest())[::-1]
        following: tuple[Path, int] | None = None
        for path in newest_first:
            try:
                inode = path.stat().st_ino
            except FileNotFoundError:
                if path == self.path:
                    return None  # in the middle of a rotation, or removed
                continue
            if inode == self._inode:
                return following
            following = path, inode
        # Rotated out of sight altogether: go on with the oldest one that is left.
        self._missed = True
        return following

    def _from_oldest(self) -> list[Path]:
        return [*(self.path.with_name(f"{self.path.name}.{number}") for number in range(BACKUPS, 0, -1)), self.path]

    def _open(self, path: Path, inode: int | None = None) -> bool:
        """Read ``path`` from its start, if it (still) is the file with this inode: it may be rotated just now."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        found = os.fstat(fd).st_ino
        if inode is not None and found != inode:
            os.close(fd)
            return False
        self.close()
        self._fd, self._inode, self._offset = fd, found, 0
        return True
