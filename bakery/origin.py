"""Websockets are not covered by the browser's same-origin policy: another site could open one with our cookie."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import validate_host

from deployments.logs.reading import in_reader


class SameOrigin:
    """Lets a websocket in when its Origin is the host and port that it asked for, and that host is ours.

    Stricter than a list of host names: the applications that Bakery runs answer on the same machine, on other ports.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        headers = dict(scope["headers"])
        asking, asked = (headers.get(name, b"").decode("latin-1") for name in (b"origin", b"host"))
        if await in_reader(is_same_origin)(asking, asked):  # which of the panel's domains are ours, the database knows
            return await self.application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)


def is_same_origin(origin: str, host: str) -> bool:
    try:
        asking, asked = urlsplit(origin), urlsplit(f"//{host}")
        default = {"https": 443, "http": 80}.get(asking.scheme)
        # The request line of a websocket does not say whether TLS ended in front of us: the origin's scheme decides.
        same = asking.hostname == asked.hostname and (asking.port or default) == (asked.port or default)
    except ValueError:
        return False
    return bool(default and same and asked.hostname) and validate_host(asked.hostname or "", settings.ALLOWED_HOSTS)
