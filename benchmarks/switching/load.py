"""Clients that ask without a pause and count what they lose: every connection that ends before its answer does,
and every answer that is no 2xx."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

GIVE_UP_SECONDS = 20.0


@dataclass
class Kind:
    """One kind of client."""

    name: str
    method: str
    keep_alive: bool

    def request(self, host: str) -> bytes:
        body = b"x" * 512 if self.method == "POST" else b""
        head = [f"{self.method} / HTTP/1.1", f"Host: {host}"]
        if body:
            head.append(f"Content-Length: {len(body)}")
        if not self.keep_alive:
            head.append("Connection: close")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body


KINDS = (
    Kind("keep-alive", "GET", True),
    Kind("no keep-alive", "GET", False),
    Kind("POST, keep-alive", "POST", True),
)


@dataclass
class Count:
    requests: int = 0
    lost: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def lose(self, reason: str) -> None:
        self.lost += 1
        self.reasons[reason] += 1


@dataclass
class Load:
    """``clients`` connections of each kind, from ``start`` to ``stop``."""

    port: int
    host: str
    clients: int = 4
    counts: dict[str, Count] = field(default_factory=lambda: {kind.name: Count() for kind in KINDS})
    last_answer: dict[str, float] = field(default_factory=dict)  # release -> time.monotonic() of its last answer
    stopping: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        for kind in KINDS:
            self.tasks += [asyncio.create_task(self._client(kind)) for _ in range(self.clients)]

    async def stop(self) -> None:
        self.stopping = True
        await asyncio.gather(*self.tasks)

    @property
    def lost(self) -> int:
        return sum(count.lost for count in self.counts.values())

    @property
    def requests(self) -> int:
        return sum(count.requests for count in self.counts.values())

    async def _client(self, kind: Kind) -> None:
        request, count = kind.request(self.host), self.counts[kind.name]
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.stopping:
            count.requests += 1
            try:
                if connection is None:
                    connection = await asyncio.open_connection("127.0.0.1", self.port)
                reader, writer = connection
                writer.write(request)
                status, release, closes = await asyncio.wait_for(read_answer(reader), GIVE_UP_SECONDS)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                count.lose(type(error).__name__)
                await asyncio.sleep(0.01)
                closes = True
            else:
                if 200 <= status < 300:
                    self.last_answer[release] = time.monotonic()
                else:
                    count.lose(str(status))
            if closes and connection is not None:
                connection[1].close()
                connection = None
        if connection is not None:
            connection[1].close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, str, bool]:
    """Status, the release that answered, and whether the server closes the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in head[1:])}
    await reader.readexactly(int(headers.get(b"content-length", b"0")))
    return int(head[0].split()[1]), headers.get(b"x-app", b"").decode(), headers.get(b"connection", b"") == b"close"
