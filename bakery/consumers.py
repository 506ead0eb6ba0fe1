"""Wakes open pages: ``/ws/events/`` sends ``{"topic", "id"}``, and the page asks for the parts that show it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error

from bakery.events import GROUP
from bakery.live_access import may_still
from bakery.roles import Action
from deployments.logs.reading import in_reader

RECHECK_SECONDS = 5.0  # how long a signed-out or demoted person may go on listening
IDLE_SECONDS = 20.0  # an empty message shows the browser, and every proxy, that the connection is alive
NO_ACCESS, AWAY = 4403, 4503


class EventsConsumer(AsyncWebsocketConsumer):
    action = Action.VIEW

    async def connect(self) -> None:
        self.watch: asyncio.Task[None] | None = None
        self.checked = time.monotonic()
        if not await in_reader(may_still)(self.scope, self.action):
            await self.close()  # before it was accepted: the handshake is answered with 403
            return
        try:
            await asyncio.wait_for(self.channel_layer.group_add(GROUP, self.channel_name), 2.0)
        except Exception:  # noqa: BLE001 - Redis is away: the page refreshes by polling, and comes back
            await self.close()
            return
        await self.accept()
        self.watch = asyncio.create_task(self._watch())

    async def disconnect(self, code: int) -> None:
        if self.watch:
            self.watch.cancel()
        with contextlib.suppress(Exception):  # Redis may be away
            await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def event(self, message: dict[str, Any]) -> None:
        if await self._still_allowed():
            await self.send(json.dumps({"topic": message["topic"], "id": message["id"]}))

    async def _watch(self) -> None:
        """Ends the connection of somebody who may no longer listen, also when nothing happens."""
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            if not await self._still_allowed():
                return
            await self.send('{"topic": "idle", "id": 0}')

    async def _still_allowed(self) -> bool:
        if time.monotonic() - self.checked < RECHECK_SECONDS:
            return True
        self.checked = time.monotonic()
        try:
            allowed = await in_reader(may_still)(self.scope, self.action)
        except Error:
            await self.close(AWAY)
            return False
        if not allowed:
            await self.close(NO_ACCESS)
        return bool(allowed)
