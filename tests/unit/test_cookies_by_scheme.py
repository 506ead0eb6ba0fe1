"""What becomes of cookies on their way, by the scheme of the connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bakery.cookies import CookiesByScheme

NAMES = ("session", "csrf")


class Page:
    """An application that sets cookies and remembers those that it was sent."""

    def __init__(self, *set_cookies: bytes) -> None:
        self.set_cookies = set_cookies
        self.seen = b""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.seen = dict(scope["headers"]).get(b"cookie", b"")
        headers = [(b"Set-Cookie", value) for value in self.set_cookies]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


def ask(
    page: Page, *, cookie: bytes = b"", host: bytes = b"panel.example", base: str = "", **scope: str
) -> list[bytes]:
    """The cookies that the answer sets."""
    sent: list[bytes] = []

    async def send(message: dict[str, Any]) -> None:
        sent.extend(value for _, value in message["headers"])

    headers = [(b"host", host), (b"cookie", cookie)]
    asked = {"type": "http", "scheme": "http", "headers": headers, **scope}
    asyncio.run(CookiesByScheme(page, NAMES, base)(asked, None, send))
    return sent


def test_over_http_everything_passes_as_it_is() -> None:
    page = Page(b"session=1; Path=/")
    assert ask(page, cookie=b"session=2; other=3") == [b"session=1; Path=/"]
    assert page.seen == b"session=2; other=3"


def test_over_https_bakerys_cookies_are_secure_and_belong_to_this_host_alone() -> None:
    page = Page(b"session=1; HttpOnly; Path=/", b"theme=dark; Path=/; Secure", b'csrf=""; Max-Age=0; Path=/')
    set_cookies = ask(page, cookie=b"__Host-session=2; theme=dark; __Host-csrf=4", scheme="https")
    assert set_cookies == [
        b"__Host-session=1; HttpOnly; Path=/; Secure",
        b"theme=dark; Path=/; Secure",
        b'__Host-csrf=""; Max-Age=0; Path=/; Secure',
    ]
    assert page.seen == b"session=2; theme=dark; csrf=4"


def test_over_https_a_cookie_that_a_sibling_name_could_have_set_is_not_believed() -> None:
    page = Page()
    ask(page, cookie=b"session=planted; __Host-session=own", scheme="https")
    assert page.seen == b"session=own"
    ask(page, cookie=b"session=planted", scheme="https")
    assert page.seen == b""


@pytest.mark.parametrize(
    ("host", "is_secure"),
    [(b"panel.example", True), (b"panel.example:443", True), (b"203.0.113.7", False), (b"[", False), (b"", False)],
)
def test_where_tls_ends_in_front_of_bakery_the_name_tells(host: bytes, *, is_secure: bool) -> None:
    """… and by the machine's address a person can still sign in."""
    (set_cookie,) = ask(Page(b"session=1; Path=/"), host=host, base="https://panel.example")
    assert (b"Secure" in set_cookie) == is_secure
