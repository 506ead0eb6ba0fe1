"""“There is more in this log.” The message is empty: whoever hears it reads the database."""

from __future__ import annotations

from bakery.broadcast import broadcast


def group_of(stream_id: int) -> str:
    return f"log-stream-{stream_id}"


def wake(stream_id: int) -> None:
    """Tell the viewers of a stream to look. Never raises and never waits; they look every 2 s anyway."""
    broadcast(group_of(stream_id), {"type": "log.more"})
