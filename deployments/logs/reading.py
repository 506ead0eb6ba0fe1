"""Reads a stored log: what came after a chunk, a range of lines, a search, all of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from channels.db import database_sync_to_async

from deployments.models import LogChunk, LogStream

MOST_LINES = 5000  # of one answer to a range
MOST_FOUND = 2000  # line numbers of one answer to a search
PAGE = 64  # chunks that are read from the database at a time
ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

# Websockets and downloads read in a few threads of their own: a slow one must not hold up the pages, and each
# thread keeps a connection to the database.
_READERS = ThreadPoolExecutor(max_workers=3, thread_name_prefix="log-reader")


def in_reader(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` as a coroutine function that runs in one of the reading threads."""
    return database_sync_to_async(function, thread_sensitive=False, executor=_READERS)


class Chunk(NamedTuple):
    seq: int
    first_line: int
    line_count: int
    created_at: datetime
    data: str


class Piece(TypedDict):
    """Consecutive lines that were stored at the same moment."""

    first_line: int
    line_count: int
    at: str
    text: str


class Cut(TypedDict):
    first_line: int
    line_count: int


class Range(TypedDict):
    total: int  # lines written so far, with those that were cut out
    bytes: int
    last_seq: int
    ended: bool
    cut: Cut | None
    pieces: list[Piece]


class Found(TypedDict):
    lines: list[int]
    more: bool  # there may be further ones: ask again from ``next``
    next: int


def chunks_after(stream_id: int, seq: int, most: int) -> list[Chunk]:
    rows = LogChunk.objects.filter(stream_id=stream_id, seq__gt=seq).order_by("seq")
    return [Chunk(*row) for row in rows.values_list("seq", "first_line", "line_count", "created_at", "data")[:most]]


def all_chunks(stream_id: int, after: int = 0) -> Iterator[Chunk]:
    """In pages by seq: a cursor of the database would make a copy of the whole log first."""
    while page := chunks_after(stream_id, after, PAGE):
        yield from page
        after = page[-1].seq


def cut_of(stream: LogStream) -> Cut | None:
    if not stream.cut_lines:
        return None
    after = (
        LogChunk.objects.filter(stream_id=stream.pk, seq__gt=stream.cut_last_seq)
        .order_by("seq")
        .values_list("first_line", flat=True)
        .first()
    )
    end = stream.line_count if after is None else after
    return {"first_line": end - stream.cut_lines, "line_count": stream.cut_lines}


def lines(stream: LogStream, first: int, count: int) -> Range:
    """``count`` lines from number ``first`` (from 0; negative: counted from the end)."""
    count = max(0, min(count, MOST_LINES))
    if first < 0:
        first = max(0, stream.line_count + first)
    start = _chunk_with(stream.pk, first)
    rows = (
        LogChunk.objects.filter(stream_id=stream.pk, first_line__gte=start, first_line__lt=first + count)
        .order_by("first_line")
        .values_list("seq", "first_line", "line_count", "created_at", "data")
    )
    found = (_piece(Chunk(*row), first, first + count) for row in rows)
    return {
        "total": stream.line_count,
        "bytes": stream.byte_count,
        "last_seq": stream.next_seq - 1,
        "ended": stream.ended_at is not None,
        "cut": cut_of(stream),
        "pieces": [piece for piece in found if piece["line_count"]],
    }


def _chunk_with(stream_id: int, line: int) -> int:
    """The first line of the chunk that holds ``line``, or of the one before it."""
    rows = LogChunk.objects.filter(stream_id=stream_id, first_line__lte=line).order_by("-first_line")
    found: int | None = rows.values_list("first_line", flat=True).first()
    return 0 if found is None else found


def _piece(chunk: Chunk, first: int, end: int) -> Piece:
    """The part of a chunk that lies in the range."""
    text, start, count = chunk.data, chunk.first_line, chunk.line_count
    if start < first or start + count > end:
        wanted = text.split("\n")[max(0, first - start) : max(0, min(count, end - start))]
        text, start, count = "".join(f"{line}\n" for line in wanted), max(start, first), len(wanted)
    return {"first_line": start, "line_count": count, "at": chunk.created_at.isoformat(), "text": text}


def search(stream: LogStream, query: str, start: int = 0, most: int = MOST_FOUND) -> Found:
    """Numbers of the lines from ``start`` that hold ``query``, whatever its case and the colours inside the line."""
    wanted = query.lower()
    found: list[int] = []
    if not wanted or "\n" in wanted:
        return {"lines": [], "more": False, "next": start}
    for chunk in all_chunks(stream.pk, _seq_before(stream.pk, start)):
        for number in _matches(chunk, wanted):
            if number < start:
                continue
            if len(found) == most:
                return {"lines": found, "more": True, "next": found[-1] + 1}
            found.append(number)
    return {"lines": found, "more": False, "next": stream.line_count}


def _seq_before(stream_id: int, line: int) -> int:
    rows = LogChunk.objects.filter(stream_id=stream_id, first_line__lte=line).order_by("-first_line")
    seq: int | None = rows.values_list("seq", flat=True).first()
    return 0 if seq is None else seq - 1


def _matches(chunk: Chunk, wanted: str) -> Iterator[int]:
    text = (ANSI.sub("", chunk.data) if "\x1b" in chunk.data else chunk.data).lower()
    line, counted, at = chunk.first_line, 0, text.find(wanted)
    while at >= 0:
        line += text.count("\n", counted, at)
        yield line
        counted = text.find("\n", at)  # one match per line is enough
        at = text.find(wanted, counted)


async def raw(stream: LogStream) -> AsyncIterator[str]:
    """The whole log in order, with a line where its middle was cut out."""
    read = in_reader(chunks_after)
    expected, after = 0, 0
    while page := await read(stream.pk, after, PAGE):
        for chunk in page:
            if chunk.first_line > expected:
                yield cut_notice(chunk.first_line - expected)
            yield chunk.data
            expected, after = chunk.first_line + chunk.line_count, chunk.seq


def cut_notice(line_count: int) -> str:
    return f"[{line_count:,} lines were cut out here: the log had outgrown its limit]\n"
