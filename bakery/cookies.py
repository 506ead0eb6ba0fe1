"""Cookies by the scheme that the browser used: over https they are Secure and have names of their own, ``__Host-…``.

Bakery's pages are reached over http (by the machine's address) and over https (by the panel's domain) at once. Django
knows one setting for both; here each request gets what its connection bears. The names differ because a browser that
has a Secure cookie lets no page over http replace it (RFC 6265bis, “leave secure cookies alone”): a panel whose
certificate was taken away would sign in nobody who had been there before. And ``__Host-`` is a promise that browsers
keep: no application on a sibling name can set such a cookie for the panel.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

PREFIX = b"__Host-"


class CookiesByScheme:
    """``names``: those of Bakery's own cookies. ``base_url``: where TLS ends in front of Bakery without a word of it,
    the address that browsers use is what tells."""

    def __init__(self, application: Any, names: tuple[str, ...], base_url: str) -> None:
        self.application = application
        self.names = frozenset(name.encode() for name in names)
        base = urlsplit(base_url)
        self.secure_host = base.hostname if base.scheme == "https" else None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        if scope["type"] not in ("http", "websocket") or not self._is_secure(scope):
            return await self.application(scope, receive, send)

        async def send_secure(message: dict[str, Any]) -> None:
            if message["type"] in ("http.response.start", "websocket.accept") and message.get("headers"):
                message = {**message, "headers": [self._outgoing(*header) for header in message["headers"]]}
            await send(message)

        return await self.application({**scope, "headers": self._incoming(scope["headers"])}, receive, send_secure)

    def _is_secure(self, scope: dict[str, Any]) -> bool:
        if scope.get("scheme") in ("https", "wss"):
            return True
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        return self.secure_host is not None and _hostname(host) == self.secure_host

    def _incoming(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        return [(name, self._renamed(value) if name == b"cookie" else value) for name, value in headers]

    def _renamed(self, cookies: bytes) -> bytes:
        """Those with the prefix under the names that Django knows; what has such a name without it is not ours."""
        kept = []
        for cookie in cookies.split(b";"):
            name, equals, value = cookie.strip().partition(b"=")
            if name.startswith(PREFIX) and name[len(PREFIX) :] in self.names:
                kept.append(name[len(PREFIX) :] + equals + value)
            elif name not in self.names:
                kept.append(name + equals + value)
        return b"; ".join(kept)

    def _outgoing(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name.lower() != b"set-cookie":
            return name, value
        if value.partition(b"=")[0] in self.names:
            value = PREFIX + value
        attributes = {part.strip().lower() for part in value.split(b";")[1:]}
        return name, value if b"secure" in attributes else value + b"; Secure"


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
