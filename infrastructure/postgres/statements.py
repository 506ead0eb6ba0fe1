"""A plain SQL dump, taken apart into statements as psql would do it, and never handed to psql.

psql carries out commands of its own that stand in what it reads: ``\\!`` runs a program as whoever reads the dump. Here
a backslash outside of a string is refused; every statement goes to the server, which knows the role that sends it.

The rules are those of psql's scanner (``psqlscan.l``): quotes, ``E''`` strings, dollar quotes, comments that nest,
parentheses, function bodies of ``BEGIN ATOMIC … END``. It works on bytes as they come, in pieces, and keeps one
statement in memory; the data of a ``COPY`` is passed on without being kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from infrastructure.errors import Refused

PIECE = 256 * 1024
LONGEST_STATEMENT = 64 * 1024 * 1024  # without data of COPY; PostgreSQL itself ends at 1 GiB
MARGIN = 256  # what is looked at again where a piece ends: a token may be cut in two there
HEAD = 2048  # where a dump says that it is one
BEGINS = b"-- PostgreSQL database"
ENDS = b"-- PostgreSQL database dump complete", b"-- PostgreSQL database cluster dump complete"

_PART = rb"A-Za-z0-9_$\x80-\xff"  # of a name
_TOKENS = (
    rb"(?P<comment>--[^\r\n]*)|(?P<block>/\*)|(?<![" + _PART + rb"])(?P<escape>[eE]')|(?P<string>')|(?P<name>\")"
    rb"|(?<![" + _PART + rb"])(?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$)"
    rb"|(?P<semicolon>;)|(?P<open>\()|(?P<close>\))|(?P<backslash>\\)"
)
_TOKEN = re.compile(_TOKENS)
# Words matter to a CREATE FUNCTION alone, whose body may hold semicolons.
_TOKEN_OR_WORD = re.compile(_TOKENS + rb"|(?<![" + _PART + rb"])(?P<word>[A-Za-z_\x80-\xff][" + _PART + rb"]*)")
_IN_BLOCK = re.compile(rb"/\*|\*/")
_IN_ESCAPED = re.compile(rb"\\.|''|'", re.DOTALL)
_IN_STRING = re.compile(rb"''|'")
_IN_NAME = re.compile(rb'""|"')
# Between the parts of a string that goes on behind a line's end.
_BETWEEN_PARTS = re.compile(rb"[^\S\r\n]+|(?P<line>[\r\n]+)|--[^\r\n]*|(?P<more>')")
_HARMLESS = re.compile(rb"\\(?:(?:un)?restrict [A-Za-z0-9]+|\.)[ \t\r]*\Z")
_CONNECT = re.compile(rb"\\c(?:onnect)?\b")
_END_OF_DATA = re.compile(rb"\n\\\.\r?(?:\n|\Z)")
_BLANK = re.compile(rb"\s*")
_CREATES_CODE = (
    [b"create", b"function"],
    [b"create", b"procedure"],
    [b"create", b"or", b"replace", b"function"],
    [b"create", b"or", b"replace", b"procedure"],
)


@dataclass(frozen=True)
class Statement:
    """Without its semicolon and without the comments before it. ``line``: where it begins in the dump."""

    text: bytes
    line: int


class Statements:
    """``next()`` until it is None; after one that the server answers by asking for data, all of ``data()``.

    ``standard_strings``: whether a backslash in an ordinary string is only a backslash; a dump may change it.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._buffer = bytearray()
        self._at = 0  # until here it has been looked at
        self._line = 1
        self._over = False
        self._first = b""
        self._last = b""
        self.standard_strings = True

    def next(self) -> Statement | None:
        """Raises ``Refused``: ``dump.cut-off``, ``dump.command``, ``dump.statement-too-long``, ``dump.not-sql``."""
        while True:
            found = self._statement()
            if found is None or found.text:
                return found

    def _statement(self) -> Statement | None:
        self._at, depth, body = 0, 0, 0
        words: list[bytes] | None = []
        while True:
            found = self._find(_TOKEN if words is None else _TOKEN_OR_WORD)
            if found is None:
                self._end()
                return None
            kind = found.lastgroup or ""
            if kind == "word" and words is not None:
                words.append(found[0].lower())
                if not any(words[: len(code)] == code[: len(words)] for code in _CREATES_CODE):
                    words = None  # an ordinary statement: nothing of it is looked at word by word
                elif depth == 0:
                    body = _depth_of_body(body, words[-1])
                    del words[5:]
            elif kind == "open":
                depth += 1
            elif kind == "close":
                depth = max(0, depth - 1)
            elif kind == "semicolon":
                if depth == 0 and body == 0:
                    return self._take(found.end())
            elif kind == "backslash":
                self._command(found.start())
            else:
                self._pass_over(kind, found.start(), found[0])

    def data(self) -> Iterator[bytes]:
        r"""What follows a ``COPY … FROM stdin``, up to the line ``\.``, which is taken away."""
        self._drop(self._whole_line(0))
        self._buffer[:0] = b"\n"  # the last line is known by the line's end before it
        self._line -= 1
        given = 1
        while True:
            end = _END_OF_DATA.search(self._buffer)
            if end and (self._over or end[0].endswith(b"\n")):
                if end.start() + 1 > given:
                    yield bytes(self._buffer[given : end.start() + 1])
                self._drop(end.end())
                return
            if self._over:
                raise self._cut_off("in the rows of a table")
            if (safe := len(self._buffer) - len(b"\n\\.\r\n")) > given:
                yield bytes(self._buffer[given:safe])
                self._drop(safe)
                given = 0
            self._read()

    def _find(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """The next of it; None at the end of the dump. What touches the end of what was read may go on."""
        while True:
            found = pattern.search(self._buffer, self._at)
            if found and (found.end() < len(self._buffer) or self._over):
                self._at = found.end()
                return found
            if self._over:
                return None
            if not found:
                self._at = max(self._at, len(self._buffer) - MARGIN)
            self._read()

    def _pass_over(self, kind: str, start: int, token: bytes) -> None:
        """To the end of a comment, a string or a name."""
        if kind == "block":
            depth = 1
            while depth:
                depth += 1 if self._closing(_IN_BLOCK, "a comment") == b"/*" else -1
        elif kind == "escape" or (kind == "string" and not self.standard_strings):
            while self._closing(_IN_ESCAPED, "a text") != b"'" or self._goes_on():
                pass
        elif kind == "string":
            while self._closing(_IN_STRING, "a text") != b"'":
                pass
        elif kind == "name":
            while self._closing(_IN_NAME, "a name") != b'"':
                pass
        elif kind == "dollar":
            self._closing(re.compile(re.escape(token)), "a text")
        if kind in ("comment", "block") and self._is_blank_until(start):
            self._drop(self._at)
            self._at = 0

    def _closing(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        found = self._find(pattern)
        if found is None:
            raise self._cut_off(f"in the middle of {what}")
        return found[0]

    def _goes_on(self) -> bool:
        """Whether an E'' string has another part, on a later line, that is read by the same rules."""
        at, on_a_later_line = self._at, False
        while True:
            found = _BETWEEN_PARTS.match(self._buffer, at)
            # A hyphen at the end may be half of a comment's beginning.
            if (found.end() if found else at + 1) >= len(self._buffer) and not self._over:
                self._read()
                continue
            if found is None:
                return False
            if found.lastgroup == "more":
                if on_a_later_line:
                    self._at = found.end()
                return on_a_later_line
            on_a_later_line |= found.lastgroup == "line"
            at = found.end()

    def _command(self, start: int) -> None:
        end = self._whole_line(start)
        line = bytes(self._buffer[start:end]).rstrip(b"\r\n")
        if _HARMLESS.match(line) and self._is_blank_until(start):
            self._drop(end)
            self._at = 0
            return
        number = self._line + self._buffer.count(b"\n", 0, start)
        if _CONNECT.match(line):
            raise Refused(
                "dump.command",
                f"Line {number} of the dump changes to another database (\\connect), which is not done here.",
                "Make the dump anew, of one database and without --create: pg_dump --format=custom.",
            )
        word = re.sub(rb"[^\x21-\x7e].*", b"", line, flags=re.DOTALL)[:20].decode()
        raise Refused(
            "dump.command",
            f"Line {number} of the dump is a command to psql ({word}), not to PostgreSQL. None is ever carried out.",
            "Remove it, or make the dump anew: pg_dump --format=custom.",
        )

    def _whole_line(self, start: int) -> int:
        """Where the line ends, behind its line's end."""
        at = start
        while (end := self._buffer.find(b"\n", at)) < 0 and not self._over:
            at = len(self._buffer)
            self._read()
        return end + 1 if end >= 0 else len(self._buffer)

    def _take(self, end: int) -> Statement:
        blank = _BLANK.match(self._buffer)
        begin = min(blank.end(), end - 1) if blank else 0
        line = self._line + self._buffer.count(b"\n", 0, begin)
        text = bytes(self._buffer[begin : end - 1]).rstrip()
        self._drop(end)
        if b"\0" in text:
            raise not_sql()
        return Statement(text, line)

    def _end(self) -> None:
        if not self._is_blank_until(len(self._buffer)):
            raise self._cut_off("in the middle of a statement")
        if BEGINS in self._first and not any(mark in self._last for mark in ENDS):
            raise self._cut_off("before its end")

    def _is_blank_until(self, end: int) -> bool:
        blank = _BLANK.match(self._buffer)
        return blank is not None and blank.end() >= end

    def _drop(self, end: int) -> None:
        self._line += self._buffer.count(b"\n", 0, end)
        del self._buffer[:end]

    def _read(self) -> None:
        if len(self._buffer) > LONGEST_STATEMENT:
            raise Refused(
                "dump.statement-too-long",
                f"The statement from line {self._line} of the dump on is longer than {LONGEST_STATEMENT >> 20} MiB.",
                "Make the dump anew, without --inserts: pg_dump --format=custom.",
            )
        data = self._source.read(min(max(PIECE, len(self._buffer)), 16 * PIECE))
        self._over = not data
        if len(self._first) < HEAD:
            self._first += data[:HEAD]
        self._last = (self._last + data[-4096:])[-4096:]
        self._buffer += data

    def _cut_off(self, where: str) -> Refused:
        return Refused(
            "dump.cut-off", f"The dump is cut off: it ends {where}.", "Take another copy of it, or make it anew."
        )


def not_sql() -> Refused:
    return Refused(
        "dump.not-sql", "This is no SQL: there are bytes in it that no text has.", "Take what pg_dump wrote, as it is."
    )


def _depth_of_body(depth: int, word: bytes) -> int:
    """Of BEGIN ATOMIC … END; a CASE in it ends with END too."""
    if word == b"begin" or (word == b"case" and depth):
        return depth + 1
    return max(0, depth - 1) if word == b"end" else depth
