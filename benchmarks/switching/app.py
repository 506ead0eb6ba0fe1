"""A release, as small as one can be: HTTP/1.1 on a loopback port, ended by SIGTERM at once, whatever is under way.

``python -m benchmarks.switching.app PORT NAME``. Every answer names the release in ``X-App``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from urllib.parse import parse_qs, urlsplit

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class App(asyncio.Protocol):
    name = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""
        self.upgraded = False
        self.busy = False

    def data_received(self, data: bytes) -> None:
        if self.upgraded:
            self.transport.write(data)
            return
        self.buffer += data
        self.take()

    def take(self) -> None:
        """Answer the next request, if it is here whole and none is under way."""
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found or self.busy:
            return
        lines = head.split(b"\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines[1:])}
        length = int(headers.get(b"content-length", b"0"))
        if len(rest) < length:
            return
        body, self.buffer = rest[:length], rest[length:]
        method, target, _ = lines[0].split(b" ")
        close = headers.get(b"connection", b"").lower() == b"close"
        address = urlsplit(target.decode())
        options = {key: found[0] for key, found in parse_qs(address.query).items()}
        if address.path == "/":
            self.answer(self.name + (b" %d" % len(body) if method == b"POST" else b""), close)
        elif address.path == "/headers":
            self.answer(head, close)
        elif address.path == "/status":
            self.answer(self.name, close, status=options["code"].encode())
        elif address.path == "/big-header":
            self.answer(self.name, close, extra=b"X-Big: " + b"x" * int(options["bytes"]) + b"\r\n")
        elif address.path == "/slow":
            self.busy = True
            asyncio.get_running_loop().call_later(float(options["seconds"]), self.answer, self.name, close)
        elif address.path == "/die":
            sys.exit(1)
        elif address.path == "/events":
            self.busy = True
            kind = b"text/event-stream" if "plain" not in options else b"text/plain"
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
                + b"8\r\ndata: 1\n\r\n"
            )
        elif address.path == "/socket":
            accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + MAGIC).digest())
            self.upgraded = True
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %s\r\nX-App: %s\r\n\r\n" % (accept, self.name)
            )
        else:
            self.answer(b"no such page", close, status=b"404")

    def answer(self, body: bytes, close: bool, *, status: bytes = b"200", extra: bytes = b"") -> None:
        self.busy = False
        self.transport.write(
            b"HTTP/1.1 %s Word\r\nX-App: %s\r\nContent-Length: %d\r\n%s%s\r\n%s"
            % (status, self.name, len(body), extra, b"Connection: close\r\n" if close else b"", body)
        )
        if close:
            self.transport.close()
        elif self.buffer:
            self.take()


async def main(port: int, name: str) -> None:
    App.name = name.encode()
    server = await asyncio.get_running_loop().create_server(App, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
