"""Carries connections from the containers' bridge to the PostgreSQL of this host: where a server has systemd's proxy
(see bakery-databases.socket), a quickstart has this.

``python relay.py 10.207.0.1:5432 127.0.0.1:5432 10.207.0.0/16``: listen there, connect there, for whom. Standard
library alone. The bridge's address is listened at before the bridge is there, and while it comes and goes
(IP_FREEBIND, ip(7)). Nothing is read of what passes, so TLS and cancel requests pass as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys

IP_FREEBIND = 15  # linux/in.h; the socket module has no name for it before Python 3.13
PIECE = 256 * 1024
WAITING = 512  # connections that the kernel holds until they are accepted
CONNECT_SECONDS = 10
AGAIN_SECONDS = 5


async def until_listening(address: tuple[str, int]) -> socket.socket:
    """Another program may have the address for a while: that is no reason to end, which would look like a fault of
    whatever started this one."""
    while True:
        try:
            return listening(address)
        except OSError as error:
            sys.stderr.write(f"{address[0]}:{address[1]} cannot be listened at yet: {error}\n")
            await asyncio.sleep(AGAIN_SECONDS)


def listening(address: tuple[str, int]) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if found.family == socket.AF_INET:
        found.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
    found.bind(address)
    found.listen(WAITING)
    return found


class Relay:
    def __init__(self, target: tuple[str, int], allowed: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
        self.target = target
        self.allowed = allowed

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until both sides have ended it. Who is not on the bridge is not heard."""
        try:
            if ipaddress.ip_address(writer.get_extra_info("peername")[0]) not in self.allowed:
                return
            reached = asyncio.open_connection(*self.target, limit=PIECE)
            their_reader, their_writer = await asyncio.wait_for(reached, CONNECT_SECONDS)
            try:
                _keep_alive(writer)
                await asyncio.gather(_carry(reader, their_writer), _carry(their_reader, writer))
            finally:
                await _close(their_writer)
        except (OSError, asyncio.TimeoutError) as error:
            sys.stderr.write(f"A connection ended: {error or type(error).__name__}\n")
        finally:
            await _close(writer)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, to its end; the end is passed on, and the other direction goes on."""
    while data := await reader.read(PIECE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        with contextlib.suppress(OSError):
            writer.write_eof()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """A container that is gone without a word ends its connection some time."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def main(listen: str, target: str, allowed: str) -> None:
    relay = Relay(address(target), ipaddress.ip_network(allowed))
    server = await asyncio.start_server(
        relay.serve, sock=await until_listening(address(listen)), limit=PIECE, backlog=WAITING
    )
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
