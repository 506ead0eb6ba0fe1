"""Tells open pages that something changed. An empty wake-up: a page that hears it asks for the part that it shows.

It may be lost (Redis away, nobody listening), so pages also look by themselves from time to time.
"""

from __future__ import annotations

import logging

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

GROUP = "events"
logger = logging.getLogger(__name__)


def announce(topic: str, id: int) -> None:
    """Send ``{"topic", "id"}`` to every open page once the transaction is committed. Never raises."""
    transaction.on_commit(lambda: _send(topic, id), robust=True)


def _send(topic: str, id: int) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(GROUP, {"type": "event", "topic": topic, "id": id})
    except Exception as error:  # noqa: BLE001 - a page that refreshes late is no reason to fail a deploy
        logger.warning("Open pages were not told of %s %s: %s", topic, id, error)
