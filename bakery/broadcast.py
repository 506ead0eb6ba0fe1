"""Sends small messages through the channel layer without ever holding up whoever sends them.

One thread per process owns an event loop and the layer's connection. A message that waits twice is sent once; when
Redis is away messages are dropped, because everybody who listens also looks by themselves from time to time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import Any

from channels.layers import get_channel_layer

SEND_TIMEOUT = 2.0  # seconds; a Redis that accepts and then says nothing must not hold the thread
MOST_WAITING = 2000
logger = logging.getLogger(__name__)
Message = tuple[str, tuple[tuple[str, Any], ...]]  # the group, and the message's items: hashable


class Broadcaster:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Message, None] = {}
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._more: asyncio.Event | None = None
        self._failing = False
        self._sending = False

    def finish(self, seconds: float) -> None:
        """Wait until everything was sent or dropped: for a process that is about to end, its thread with it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                if not self._waiting and not self._sending:
                    return
            time.sleep(0.01)

    def send(self, group: str, message: dict[str, Any]) -> None:
        """Never raises, never waits."""
        key: Message = (group, tuple(message.items()))
        with self._lock:
            if len(self._waiting) < MOST_WAITING:
                self._waiting[key] = None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
                self._thread.start()
            elif self._loop is not None and self._more is not None:
                self._loop.call_soon_threadsafe(self._more.set)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        more = asyncio.Event()
        with self._lock:
            self._loop, self._more = asyncio.get_running_loop(), more
        more.set()
        while True:
            await more.wait()
            more.clear()
            with self._lock:
                batch, self._waiting = list(self._waiting), {}
                self._sending = bool(batch)
            for group, items in batch:
                if not await self._deliver(group, dict(items)):
                    break  # the rest would wait for the same timeout
            self._sending = False

    async def _deliver(self, group: str, message: dict[str, Any]) -> bool:
        layer = get_channel_layer()
        if layer is None:
            return True
        try:
            await asyncio.wait_for(layer.group_send(group, message), SEND_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - whatever it is, no sender can do anything about it
            if not self._failing:
                logger.warning("Open pages cannot be told of changes: %s. They look by themselves.", error)
            self._failing = True
            return False
        if self._failing:
            logger.info("Open pages are told of changes again.")
        self._failing = False
        return True


_broadcaster = Broadcaster()


def broadcast(group: str, message: dict[str, Any]) -> None:
    """Send ``message`` to everybody in ``group``, soon, if that is possible."""
    _broadcaster.send(group, message)


def finish(seconds: float = 1.0) -> None:
    """What a command calls at its end, so that open pages hear of what it did."""
    _broadcaster.finish(seconds)


def _after_fork() -> None:
    global _broadcaster
    _broadcaster = Broadcaster()  # the thread stayed in the parent


os.register_at_fork(after_in_child=_after_fork)
