"""Tells open pages that something changed. An empty wake-up: a page that hears it asks for the part that it shows.

It may be lost (Redis away, nobody listening), so pages also look by themselves from time to time.
"""

from __future__ import annotations

from django.db import transaction

from bakery.broadcast import broadcast

GROUP = "events"


def announce(topic: str, id: int) -> None:
    """Send ``{"topic", "id"}`` to every open page once the transaction is committed. Never raises, never waits."""
    transaction.on_commit(lambda: broadcast(GROUP, {"type": "event", "topic": topic, "id": id}), robust=True)
