"""Whether a request for a name arrives here: a random token is put where certificate authorities ask, and fetched.

The name's addresses come from DNS, which anybody may have written. So nothing private is asked, apart from this
server's own addresses; little is read, for a short time; and only the step from http to https is followed, to the
port that is for it.
"""

from __future__ import annotations

import http.client
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infrastructure.dns.networks import is_public
from infrastructure.files import make_directory, write_atomically

SECONDS = 5.0
MOST_ADDRESSES = 6
MOST_BYTES = 512
CHALLENGES = ".well-known/acme-challenge"
HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")


@dataclass(frozen=True)
class Arrival:
    """What became of the request to one of the name's addresses."""

    address: str
    arrived: bool
    trouble: str = ""  # reads after the address: "refuses connections on port 80"
    asked: bool = True  # False: a private address, which was left alone


@contextmanager
def token_in(acme_root: Path) -> Iterator[tuple[str, str]]:
    """A file for the time of one look: its name and what is in it."""
    name, content = f"bakery-{secrets.token_urlsafe(16)}", secrets.token_urlsafe(32)
    folder = acme_root / CHALLENGES
    for path in (folder.parent, folder):
        make_directory(path)
    write_atomically(folder / name, content)
    try:
        yield name, content
    finally:
        (folder / name).unlink(missing_ok=True)


def arrivals(
    name: str, addresses: Sequence[str], acme_root: Path, *, own: Collection[str], port: int, https_port: int
) -> tuple[Arrival, ...]:
    """Ask for ``name`` at each address. ``own``: addresses of this server's, which may be private."""
    wanted = list(dict.fromkeys(addresses))[:MOST_ADDRESSES]
    if not wanted:
        return ()
    with token_in(acme_root) as (token, content), ThreadPoolExecutor(max_workers=len(wanted)) as pool:

        def ask(address: str) -> Arrival:
            if address not in own and not is_public(address):
                return Arrival(address, False, "is a private address, which visitors cannot reach", asked=False)
            return _ask(name, address, f"/{CHALLENGES}/{token}", content, port, https_port)

        return tuple(pool.map(ask, wanted))


def _ask(name: str, address: str, path: str, content: str, port: int, https_port: int) -> Arrival:
    try:
        status, location, body = _get(http.client.HTTPConnection(address, port, timeout=SECONDS), name, path)
        target = urlsplit(location)
        to_https = target.scheme == "https" and target.hostname == name and target.port in (None, 443, https_port)
        if 300 <= status < 400 and to_https:
            secure = _Tls(address, target.port or https_port, name)
            status, location, body = _get(
                secure, name, f"{target.path}?{target.query}" if target.query else target.path
            )
    except TimeoutError:
        return Arrival(address, False, f"does not answer on port {port}")
    except ConnectionRefusedError:
        return Arrival(address, False, f"refuses connections on port {port}")
    except (OSError, http.client.HTTPException, ValueError):
        return Arrival(address, False, f"cannot be reached on port {port}")
    if status == 200 and body.strip() == content.encode():
        return Arrival(address, True)
    if 300 <= status < 400:
        return Arrival(address, False, f"leads on to another place ({_place(location)})")
    return Arrival(address, False, f"is answered by something else on port {port} (HTTP {status})")


def _place(location: str) -> str:
    """Its host, where it looks like one: whoever answers there writes what they like, and people read it in a terminal.

    >>> _place("https://example.net/"), _place("https://\\x1b[2J/"), _place("http://[")
    ('example.net', 'unknown', 'unknown')
    """
    try:
        host = urlsplit(location).hostname or ""
    except ValueError:
        return "unknown"
    return host if HOST.fullmatch(host) else "unknown"


def _get(connection: http.client.HTTPConnection, name: str, path: str) -> tuple[int, str, bytes]:
    """Status, Location and the first bytes. A server that sends a byte now and then is cut off as well."""
    watchdog = threading.Timer(SECONDS, _cut, (connection,))
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.request("GET", path, headers={"Host": name, "User-Agent": "Bakery", "Connection": "close"})
        response = connection.getresponse()
        return response.status, response.headers.get("Location", ""), response.read(MOST_BYTES)
    finally:
        watchdog.cancel()
        connection.close()


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


class _Tls(http.client.HTTPSConnection):
    """To one address, under a name. Whether the certificate is good is another question: the token is what counts."""

    def __init__(self, address: str, port: int, name: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(address, port, timeout=SECONDS, context=context)
        self.name, self.tls = name, context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self.tls.wrap_socket(self.sock, server_hostname=self.name)
