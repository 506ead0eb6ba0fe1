"""What somebody's file is, by its first bytes: a dump that can be restored, or something else, named in words."""

from __future__ import annotations

import gzip
import io
import zlib
from enum import Enum
from pathlib import Path
from typing import IO

from infrastructure.errors import Refused
from infrastructure.postgres.statements import not_sql

GZIP = b"\x1f\x8b"
CUSTOM = b"PGDMP"
HEAD = 1024
MAKE_ANOTHER = "Make one with pg_dump --format=custom, or as plain SQL."
# First bytes, at which place, what it is.
OTHERS: tuple[tuple[bytes, int, str], ...] = (
    (b"ustar", 257, "an archive of tar, as pg_dump --format=tar or a directory makes one"),
    (b"PK\x03\x04", 0, "a ZIP file"),
    (b"BZh", 0, "compressed with bzip2"),
    (b"\xfd7zXZ\0", 0, "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", 0, "compressed with zstd"),
    (b"7z\xbc\xaf", 0, "a 7-Zip file"),
    (b"SQLite format 3\0", 0, "a database of SQLite"),
    (b"-- MySQL dump", 0, "a dump of MySQL"),
    (b"-- MariaDB dump", 0, "a dump of MariaDB"),
    (b"BAKERY-SEALED", 0, "sealed with a passphrase"),
    (b"\xff\xfe", 0, "text in UTF-16, as PowerShell writes it"),
    (b"\xfe\xff", 0, "text in UTF-16"),
)


class Format(str, Enum):
    """``gzip``: either of the others, compressed as a whole."""

    CUSTOM = "custom"
    PLAIN = "plain"
    GZIPPED_CUSTOM = "gzip of custom"
    GZIPPED_PLAIN = "gzip of plain"

    @property
    def is_gzipped(self) -> bool:
        return self in (Format.GZIPPED_CUSTOM, Format.GZIPPED_PLAIN)

    @property
    def is_custom(self) -> bool:
        return self in (Format.CUSTOM, Format.GZIPPED_CUSTOM)


def format_of(file: Path) -> Format:
    """Raises ``Refused``: ``dump.empty``, ``dump.format``, ``dump.not-sql``, ``dump.damaged``."""
    with file.open("rb") as opened:
        head = opened.read(HEAD)
        if not head.startswith(GZIP):
            return Format.CUSTOM if _is_custom(head) else Format.PLAIN
        opened.seek(0)
        with Unpacked(opened) as unpacked:
            return Format.GZIPPED_CUSTOM if _is_custom(unpacked.read(HEAD)) else Format.GZIPPED_PLAIN


def _is_custom(head: bytes) -> bool:
    if not head:
        raise Refused("dump.empty", "The file is empty.", "Take another copy of it.")
    for first, place, what in OTHERS:
        if head[place : place + len(first)] == first:
            raise Refused("dump.format", f"The file is {what}: that is not restored here.", MAKE_ANOTHER)
    if head.startswith(CUSTOM):
        return True
    if b"\0" in head:
        raise not_sql()
    return False


class Unpacked(io.RawIOBase):
    """What is in a gzip file, as it is read; refused from ``most`` bytes on, however small the file is."""

    def __init__(self, source: IO[bytes], most: int | None = None) -> None:
        self._gzip = gzip.GzipFile(fileobj=source)
        self._most = most
        self._given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._gzip.read(size)
        except EOFError as error:
            raise Refused("dump.cut-off", "The compressed file is cut off.", "Take another copy of it.") from error
        except (OSError, zlib.error) as error:
            raise Refused("dump.damaged", "The compressed file is damaged.", "Take another copy of it.") from error
        self._given += len(data)
        if self._most is not None and self._given > self._most:
            raise too_large(self._most)
        return data


def too_large(most: int) -> Refused:
    return Refused(
        "dump.too-large",
        f"The dump is larger than {most >> 20} MiB when it is unpacked.",
        "Raise BAKERY_DUMP_UPLOAD_MB, of which that is a multiple.",
    )
