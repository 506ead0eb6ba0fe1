"""Two hundred visitors on connections that they keep, over HTTPS, lose nothing while slots and certificates change."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from infrastructure.certificates.pem import read_pair
from infrastructure.nginx.master import accepting_workers
from tests.integration.https_edge import Https, hosts
from tests.integration.nginx_host import running_edge

pytestmark = pytest.mark.slow
SHOP = "shop.example.com"
CLIENTS, SWITCHES, RENEWALS = 200, 20, 5


@dataclass
class Load:
    """Each client keeps its connection and asks again when it was answered: every other one by POST."""

    port: int
    context: ssl.SSLContext
    answers: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    connected: int = 0
    ended: bool = False

    async def client(self, number: int) -> None:
        body = b"x" * 100 if number % 2 else b""
        head = f"{'POST' if body else 'GET'} / HTTP/1.1\r\nHost: {SHOP}\r\nContent-Length: {len(body)}\r\n\r\n"
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.context, server_hostname=SHOP, ssl_handshake_timeout=60
            )
            self.connected += 1
            while not self.ended:
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                text = (await reader.readexactly(length)).decode()
                if not answer.startswith(b"HTTP/1.1 200 ") or text.endswith(" 100") != bool(body):
                    self.lost.append(f"{answer[:20]!r} {text[:40]}")
                self.answers[text.split()[0]] += 1
                await asyncio.sleep(0.05)
            writer.close()
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            self.lost.append(repr(error))

    async def newcomers(self, seen: set[bytes]) -> None:
        """Handshakes all the time: each certificate is whole, and its key its own."""
        while not self.ended:
            try:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", self.port, ssl=self.context, server_hostname=SHOP, ssl_handshake_timeout=60
                )
            except OSError as error:
                self.lost.append(f"handshake: {error!r}")
                continue
            seen.add(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
            writer.close()

    async def more(self, count: int = CLIENTS) -> None:
        """Until so many more answers have come: what happens next happens under load."""
        wanted, deadline = self.answers.total() + count, asyncio.get_running_loop().time() + 60
        while self.answers.total() < wanted and not self.lost:
            assert asyncio.get_running_loop().time() < deadline, "the visitors are not answered"
            await asyncio.sleep(0.01)


async def visit(https: Https) -> tuple[Load, set[bytes]]:
    load, seen = Load(https.edge.nginx.https_port, https.context()), set[bytes]()
    tasks = [asyncio.create_task(load.client(number)) for number in range(CLIENTS)]
    tasks.append(asyncio.create_task(load.newcomers(seen)))
    store = https.edge.router.certificates
    issued = [https.authority.issue(SHOP) for _ in range(RENEWALS)]
    pairs = [read_pair(each.chain_pem, each.key_pem) for each in issued]
    for number in range(SWITCHES):
        await load.more()
        https.edge.router.switch(1, ("green", "blue")[number % 2], 11 + number)
        for again in range(4):  # back and forth, quickly: a handshake falls between two of these
            store.install("deployment-1", pairs[(number + again) % RENEWALS])
            await asyncio.sleep(0.01)
    await load.more()
    load.ended = True
    await asyncio.gather(*tasks)
    return load, seen


def test_nothing_is_lost_while_slots_switch_and_the_certificate_is_replaced() -> None:
    with running_edge() as edge:
        https = Https(edge)
        https.install(SHOP)
        edge.router.apply([replace(edge.route, hosts=hosts(SHOP), certificate="deployment-1")])
        pid = edge.router.master.pid()
        assert pid
        before = accepting_workers(pid), edge.router.master.generation()
        load, seen = asyncio.run(visit(https))
        assert load.lost == []
        assert load.connected == CLIENTS
        assert set(load.answers) == {"blue-app", "green-app"}
        assert len(seen) > 1, "newcomers were shown the certificates of their time"
        assert (accepting_workers(pid), edge.router.master.generation()) == before
