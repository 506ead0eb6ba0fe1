"""Who asked, and by which scheme, when Nginx in front of Bakery says so."""

from __future__ import annotations

import ipaddress
from typing import Any


class BehindNginx:
    """Takes client address and scheme from the headers that the panel's server block sets, for pages and websockets.

    They are believed only on a connection from loopback, where Nginx is; there it has replaced whatever a visitor
    claimed. Throttled sign-in counts by this address: without it, all visitors would be one.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        return await self.application(as_forwarded(scope), receive, send)


def as_forwarded(scope: dict[str, Any]) -> dict[str, Any]:
    peer = scope.get("client")
    if scope["type"] not in ("http", "websocket") or not peer or not _is_loopback(peer[0]):
        return scope
    headers = dict(scope["headers"])
    told = dict(scope)
    address = headers.get(b"x-forwarded-for", b"").decode("latin-1").rpartition(",")[2].strip()
    if _is_address(address):
        told["client"] = (address, 0)  # its port is not passed on
    if headers.get(b"x-forwarded-proto") == b"https":
        told["scheme"] = "https" if scope["type"] == "http" else "wss"  # of a websocket, Daphne tells none
    return told


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ipaddress.ip_address(text).is_loopback


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
