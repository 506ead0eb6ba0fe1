"""A stream sealed with a passphrase: encrypted, and refused when a byte of it is changed, missing or too many.

The format, version 1: a line ``BAKERY-SEALED 1``, a line of JSON (scrypt's parameters, salt, nonce, a verifier that
tells a wrong passphrase from a damaged file), then pieces of AES-256-GCM. As in STREAM (Hoang, Reyhanitabar, Rogaway,
Vizár: “Online authenticated-encryption and its nonce-reuse misuse-resistance”) a piece's nonce holds its number and
whether it is the last one, so none can be left out, doubled or moved, and a file that was cut off has no last piece.
Both lines are authenticated with every piece.
"""

from __future__ import annotations

import base64
import hmac
import io
import json
import os
from dataclasses import dataclass
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from infrastructure.errors import Problem
from infrastructure.secret import Secret

MAGIC = b"BAKERY-SEALED "
VERSION = 1
PIECE = 1024 * 1024
TAG = 16
LONGEST_HEADER = 4096
# 128 MiB of memory and about half a second for each guess (OWASP's password storage cheat sheet).
SCRYPT = {"n": 2**17, "r": 8, "p": 1}
# As much work for who guesses in a quarter of the memory (the same table there), for workers: they do it beside others.
SMALL_SCRYPT = {"n": 2**15, "r": 8, "p": 3}
MOST_SCRYPT = {"n": 2**20, "r": 16, "p": 4}  # a file may not ask for more than this of whoever opens it
NONCE_PREFIX = 7  # bytes; then the number (4) and the mark of the last piece (1)


class SealedWriter(io.RawIOBase):
    """Everything written goes sealed to ``out``; only after ``finish`` can it be opened again."""

    def __init__(self, out: IO[bytes], passphrase: Secret, cost: dict[str, int] | None = None) -> None:
        cost = cost or SCRYPT
        salt, self._prefix = os.urandom(16), os.urandom(NONCE_PREFIX)
        key, verifier = _derive(passphrase, salt, cost)
        header = {**cost, "salt": _text(salt), "nonce": _text(self._prefix), "verifier": _text(verifier)}
        self._header = MAGIC + b"%d\n" % VERSION + json.dumps(header).encode() + b"\n"
        self._cipher = AESGCM(key)
        self._out = out
        self._number = 0
        self._waiting = bytearray()
        out.write(self._header)

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._waiting += view
        while len(self._waiting) > PIECE:  # the last one is kept back until it is known to be the last
            self._write(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        return len(view)

    def finish(self) -> None:
        self._write(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _write(self, piece: bytes, *, last: bool) -> None:
        self._out.write(self._cipher.encrypt(_nonce(self._prefix, self._number, last=last), piece, self._header))
        self._number += 1


class SealedReader(io.RawIOBase):
    """What was sealed, in pieces that are each authenticated before they are given out. Raises ``Problem``
    (``backup.not-one``, ``backup.newer-format``, ``backup.passphrase``, ``backup.damaged``, ``backup.cut-off``)."""

    def __init__(self, source: IO[bytes], passphrase: Secret) -> None:
        self._source = source
        first = source.readline(LONGEST_HEADER)
        second = source.readline(LONGEST_HEADER)
        self._header = first + second
        header = _Header.parse(first, second)
        key, verifier = _derive(passphrase, header.salt, header.cost)
        if not hmac.compare_digest(verifier, header.verifier):
            raise Problem(
                "backup.passphrase",
                "This is not the passphrase of the backup (or its first lines were changed).",
                "Try again.",
            )
        self._cipher = AESGCM(key)
        self._prefix = header.nonce
        self._number = 0
        self._next = source.read(PIECE + TAG)
        self._open = bytearray()
        self._is_over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._open and not self._is_over:
            self._open += self._read()
        given = min(len(view), len(self._open))
        view[:given] = self._open[:given]
        del self._open[:given]
        return given

    def drain(self) -> None:
        """Read what is left, so that the end of the file is seen as well."""
        while self.read(PIECE):
            pass

    def _read(self) -> bytes:
        piece, self._next = self._next, self._source.read(PIECE + TAG)
        last = not self._next
        try:
            opened = self._cipher.decrypt(_nonce(self._prefix, self._number, last=last), piece, self._header)
        except (InvalidTag, ValueError):
            raise self._refusal(piece, last=last) from None
        self._number += 1
        self._is_over = last
        return opened

    def _refusal(self, piece: bytes, *, last: bool) -> Problem:
        if last and (len(piece) < PIECE + TAG or self._is_good(piece)):
            return Problem(
                "backup.cut-off",
                "The backup is damaged: it is cut off, or its last part was changed.",
                "Take another copy of it.",
            )
        return Problem("backup.damaged", "The backup is damaged: it was changed.", "Take another copy of it.")

    def _is_good(self, piece: bytes) -> bool:
        """Whether it is a piece from the middle."""
        try:
            self._cipher.decrypt(_nonce(self._prefix, self._number, last=False), piece, self._header)
        except (InvalidTag, ValueError):
            return False
        return True


@dataclass(frozen=True)
class _Header:
    salt: bytes
    nonce: bytes
    verifier: bytes
    cost: dict[str, int]

    @classmethod
    def parse(cls, first: bytes, second: bytes) -> _Header:
        if not first.startswith(MAGIC) or not first.endswith(b"\n"):
            raise Problem("backup.not-one", "This file is no backup of Bakery.", "Check its name.")
        if first != MAGIC + b"%d\n" % VERSION:
            raise Problem(
                "backup.newer-format",
                "The backup has a format that this version of Bakery does not know.",
                "Update Bakery, then restore it.",
            )
        try:
            found = json.loads(second)
            salt, nonce, verifier = (base64.b64decode(found[name]) for name in ("salt", "nonce", "verifier"))
            cost = {name: int(found[name]) for name in SCRYPT}
        except (ValueError, KeyError, TypeError):
            raise _damaged_header() from None
        if any(cost[name] > most or cost[name] < 1 for name, most in MOST_SCRYPT.items()) or len(nonce) != NONCE_PREFIX:
            raise _damaged_header()
        return cls(salt, nonce, verifier, cost)


def _damaged_header() -> Problem:
    return Problem("backup.damaged", "The backup is damaged: its beginning cannot be read.", "Take another copy of it.")


def _derive(passphrase: Secret, salt: bytes, cost: dict[str, int]) -> tuple[bytes, bytes]:
    """The key, and what is stored to recognise the passphrase by."""
    try:
        both = Scrypt(salt=salt, length=64, **cost).derive(passphrase.reveal().encode())
    except (ValueError, MemoryError):
        raise _damaged_header() from None
    return both[:32], both[32:]


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
