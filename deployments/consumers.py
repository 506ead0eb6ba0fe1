"""Sends a log to a browser as it grows: ``/ws/streams/<id>/?after=<seq>``.

The consumer pulls chunks from the database; what comes through the channel layer only says that it is time to look.
At most ``WINDOW`` frames are under way: daphne buffers without bound, so the browser acknowledges what it has shown:
``{"type": "ack", "seq": …}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any, Literal, TypedDict
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error

from bakery.live_access import may_still
from bakery.roles import Action
from deployments.logs.looking import WINDOW, line_after, look
from deployments.logs.reading import Chunk, in_reader
from deployments.logs.wake import group_of
from deployments.models import LogStream

LOOK_SECONDS = 2.0
IDLE_SECONDS = 10.0  # after so long without a frame an empty one shows the browser that the connection is alive
RECHECK_SECONDS = 5.0  # how long a signed-out or demoted person may go on reading
NO_ACCESS, NOT_FOUND, AWAY = 4403, 4404, 4503
logger = logging.getLogger(__name__)


class ChunkFrame(TypedDict):
    type: Literal["chunk"]
    seq: int
    first_line: int
    line_count: int
    at: str
    text: str


class GapFrame(TypedDict):
    """Lines that are no longer stored."""

    type: Literal["gap"]
    first_line: int
    line_count: int


class EndFrame(TypedDict):
    type: Literal["end"]
    line_count: int


class IdleFrame(TypedDict):
    type: Literal["idle"]


class LogConsumer(AsyncWebsocketConsumer):
    action = Action.READ_LOGS

    async def connect(self) -> None:
        self.stream_id = int(self.scope["url_route"]["kwargs"]["stream_id"])
        after = parse_qs(self.scope["query_string"].decode("latin-1")).get("after", ["0"])[0]
        self.last_seq = int(after) if after.isdecimal() and len(after) < 16 else 0
        self.next_line: int | None = None  # where the next chunk begins, if no line is missing
        self.unacknowledged: list[int] = []
        self.changed = asyncio.Event()
        self.pump: asyncio.Task[None] | None = None
        if not await in_reader(self._may_read)():
            await self.close()  # before it was accepted: the handshake is answered with 403
            return
        await self.accept()
        self.pump = asyncio.create_task(self._pump())

    async def disconnect(self, code: int) -> None:
        if self.pump:
            self.pump.cancel()
        with contextlib.suppress(Exception):  # Redis may be away
            await self.channel_layer.group_discard(group_of(self.stream_id), self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            message = json.loads(text_data or "")
            seq = int(message["seq"]) if message["type"] == "ack" else -1
        except (ValueError, TypeError, KeyError):
            return
        self.unacknowledged = [sent for sent in self.unacknowledged if sent > seq]
        self.changed.set()

    async def log_more(self, event: dict[str, Any]) -> None:
        self.changed.set()

    async def _pump(self) -> None:
        try:
            with contextlib.suppress(Exception):  # without Redis it still looks every LOOK_SECONDS
                await asyncio.wait_for(self.channel_layer.group_add(group_of(self.stream_id), self.channel_name), 1.0)
            await self._follow()
        except LogStream.DoesNotExist:
            await self.close(NOT_FOUND)
        except Error as error:
            logger.warning("A viewer of log %s is sent away: %s", self.stream_id, str(error).strip())
            await self.close(AWAY)  # it comes back with its last seq

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        checked = sent = loop.time()
        self.next_line = await in_reader(line_after)(self.stream_id, self.last_seq)
        while True:
            self.changed.clear()
            if loop.time() - checked > RECHECK_SECONDS:
                checked = loop.time()
                if not await in_reader(self._may_read)():
                    await self.close(NO_ACCESS)
                    return
            room = WINDOW - len(self.unacknowledged)
            # A few frames at a time cost less than each alone, so the viewer first acknowledges some of them.
            if room >= WINDOW // 2:
                seen = await look(self.stream_id, self.last_seq)
                for chunk in seen.chunks[:room]:
                    await self._send_chunk(chunk)
                if seen.chunks:
                    sent = loop.time()
                    if len(seen.chunks) >= room:
                        self.changed.set()  # there may be more
                elif seen.ended:
                    await self._send_end(seen.line_count)
                    return
            if loop.time() - sent > IDLE_SECONDS:
                sent = loop.time()
                await self._send_frame({"type": "idle"})
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.changed.wait(), LOOK_SECONDS)

    async def _send_chunk(self, chunk: Chunk) -> None:
        if self.next_line is not None and chunk.first_line > self.next_line:
            await self._send_gap(self.next_line, chunk.first_line)
        self.last_seq, self.next_line = chunk.seq, chunk.first_line + chunk.line_count
        self.unacknowledged.append(chunk.seq)
        await self._send_frame(
            {
                "type": "chunk",
                "seq": chunk.seq,
                "first_line": chunk.first_line,
                "line_count": chunk.line_count,
                "at": chunk.created_at.isoformat(),
                "text": chunk.data,
            }
        )

    async def _send_gap(self, first: int, end: int) -> None:
        await self._send_frame({"type": "gap", "first_line": first, "line_count": end - first})

    async def _send_end(self, line_count: int) -> None:
        if self.next_line is not None and line_count > self.next_line:
            await self._send_gap(self.next_line, line_count)
        await self._send_frame({"type": "end", "line_count": line_count})
        await self.close(1000)

    async def _send_frame(self, frame: ChunkFrame | GapFrame | EndFrame | IdleFrame) -> None:
        await self.send(json.dumps(frame, ensure_ascii=False))

    def _may_read(self) -> bool:
        user = may_still(self.scope, self.action)
        return user is not None and LogStream.objects.visible_to(user).filter(pk=self.stream_id).exists()
