"""What came after a chunk, asked once for all viewers that stand at the same place.

Ten people who watch one log are woken by the same message. The first one's question waits for a moment, and the others
join it; it is not joined any more once the database is asked, because its answer might be older than their waking.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from deployments.logs.reading import Chunk, chunks_after, cut_of, in_reader
from deployments.models import LogChunk, LogStream

WINDOW = 8  # frames of one viewer that may be under way; so no question needs more chunks
JOIN_SECONDS = 0.005


class Look(NamedTuple):
    chunks: list[Chunk]
    line_count: int
    ended: bool


_joinable: dict[tuple[int, int], asyncio.Task[Look]] = {}


async def look(stream_id: int, after: int) -> Look:
    """The next chunks, at most ``WINDOW``. Raises ``LogStream.DoesNotExist``."""
    key = (stream_id, after)
    task = _joinable.get(key)
    if task is None:
        task = _joinable[key] = asyncio.create_task(_ask(key))
    return await asyncio.shield(task)  # a viewer that leaves takes nobody's answer along


async def _ask(key: tuple[int, int]) -> Look:
    await asyncio.sleep(JOIN_SECONDS)
    del _joinable[key]
    found: Look = await in_reader(_read)(*key)
    return found


def _read(stream_id: int, after: int) -> Look:
    # The end is looked at first: a chunk that comes in between is then sent, and the end said the next time.
    stream = LogStream.objects.only("line_count", "ended_at").get(pk=stream_id)
    return Look(chunks_after(stream_id, after, WINDOW), stream.line_count, stream.ended_at is not None)


def line_after(stream_id: int, seq: int) -> int | None:
    """The number of the line that follows chunk ``seq``: where the cut begins when that chunk was cut out."""
    if not seq:
        return 0
    found = LogChunk.objects.filter(stream_id=stream_id, seq=seq).values("first_line", "line_count").first()
    if found:
        line: int = found["first_line"] + found["line_count"]
        return line
    cut = cut_of(LogStream.objects.get(pk=stream_id))
    return cut["first_line"] if cut else None
