"""One way of switching under load: what it loses, how long the old release goes on answering, what outlives it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from benchmarks.switching.host import Release
from benchmarks.switching.load import Load, read_answer
from benchmarks.switching.ways import HOST, Way

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # any 16 bytes in base64 (RFC 6455)


@dataclass
class Measured:
    name: str
    load: Load
    seconds: float = 0.0
    last_old_answers: list[float] = field(default_factory=list)  # seconds after the switch began
    switch_seconds: list[float] = field(default_factory=list)  # until the way said that the old one may be ended
    long_request_finished: bool | None = None
    websocket_finished: bool | None = None


async def measure(
    way: Way, port: int, ports: tuple[int, int], switches: int, *, clients: int = 4, long_seconds: float = 0
) -> Measured:
    """``switches`` under load; then, with ``long_seconds``, one more with a long request and a websocket open."""
    serving = await asyncio.to_thread(Release("v0", ports[0]).start)
    try:
        await asyncio.to_thread(way.begin, serving)
        load = Load(port, HOST, clients)
        measured = Measured(way.name, load)
        began = time.monotonic()
        load.start()
        try:
            for number in range(1, switches + 1):
                serving = await _replace(way, serving, Release(f"v{number}", ports[number % 2]), measured)
        finally:  # clients that nobody stops would ask for ever
            await load.stop()
        measured.seconds = time.monotonic() - began
        if long_seconds:
            serving = await _replace_under_long_ones(way, serving, ports, switches + 1, measured, port, long_seconds)
    finally:
        serving.stop()
    return measured


async def _replace(way: Way, old: Release, new: Release, measured: Measured) -> Release:
    await asyncio.to_thread(new.start)
    began = time.monotonic()
    await asyncio.to_thread(way.switch, old, new)
    measured.switch_seconds.append(time.monotonic() - began)
    await asyncio.to_thread(old.stop)
    await asyncio.sleep(0.05)  # answers that are on their way to the clients
    if last := measured.load.last_answer.get(old.name):
        measured.last_old_answers.append(max(0.0, last - began))
    return new


async def _replace_under_long_ones(
    way: Way, old: Release, ports: tuple[int, int], number: int, measured: Measured, port: int, seconds: float
) -> Release:
    new = Release(f"v{number}", ports[number % 2])
    opened = asyncio.Event()
    long_ones = (
        asyncio.create_task(_long_request(port, seconds, old.name)),
        asyncio.create_task(_websocket(port, seconds, old.name, opened)),
    )
    await asyncio.wait_for(opened.wait(), 10)
    await asyncio.sleep(0.2)  # the long request is with the app as well
    await asyncio.to_thread(new.start)
    await asyncio.to_thread(way.switch, old, new)
    await asyncio.to_thread(old.stop)
    measured.long_request_finished, measured.websocket_finished = await asyncio.gather(*long_ones)
    return new


async def _long_request(port: int, seconds: float, release: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /slow?seconds={seconds} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        status, answered_by, _ = await read_answer(reader)
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return False
    return status == 200 and answered_by == release


async def _websocket(port: int, seconds: float, release: str, opened: asyncio.Event) -> bool:
    """Says something every half second, and hears it again, until its time is over."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /socket HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        opened.set()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            writer.write(b"tick")
            if await reader.readexactly(4) != b"tick":
                return False
            await asyncio.sleep(0.5)
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return False
    return b" 101 " in head and f"X-App: {release}".encode() in head
