"""What a person sets for one host name besides where it leads: parsed, or refused with a reason.

It all ends in an Nginx configuration, so nothing passes that could be more there than a value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from infrastructure.errors import Refused

# Computed by Nginx at every request, in its only thread: 2 ms, for what a guesser needs as long for. See bcrypt(3).
BCRYPT_COST = 5
LONGEST_PASSWORD = 72  # bytes: bcrypt reads no more
MOST_NETWORKS, MOST_HEADERS = 200, 20
LONGEST_HEADER_VALUE = 1000

# Of one connection (RFC 9110, 7.6.1), of the message's framing, or set by Bakery and Nginx themselves.
NOT_TO_BE_SET = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "content-length", "content-encoding", "content-range", "date", "server", "host",
    "location", "www-authenticate", "authorization", "set-cookie", "status",
})  # fmt: skip
NOT_TO_BEGIN_WITH = ("x-bakery-", "x-accel-", "x-sendfile")
HEADER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
HEADER_VALUE = re.compile(r"[\x20-\x7e]+")
USER_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,100}")


def user_name(text: str) -> str:
    """Of basic auth. No colon: it ends the name (RFC 7617)."""
    if not USER_NAME.fullmatch(text):
        raise Refused("input.user-name", "A user name has 1 to 100 letters, digits and . _ @ + - alone.")
    return text


def password_hash(password: str) -> str:
    """The password as crypt(3) reads it, which Nginx asks."""
    import bcrypt

    raw = password.encode()
    if not 8 <= len(raw) <= LONGEST_PASSWORD or "\0" in password:
        raise Refused("input.password", f"The password needs 8 to {LONGEST_PASSWORD} bytes; this has {len(raw)}.")
    return bcrypt.hashpw(raw, bcrypt.gensalt(BCRYPT_COST)).decode()


def networks(texts: Iterable[str]) -> tuple[str, ...]:
    """Addresses and networks in CIDR form, each once, in the order given."""
    found: dict[str, None] = {}
    for text in (part for item in texts for part in re.split(r"[\s,]+", item) if part):
        try:
            if "%" in text:  # an interface of IPv6, which Python takes with whatever stands in it: also “;}”
                raise ValueError
            found[str(ipaddress.ip_network(text))] = None
        except ValueError:
            raise Refused(
                "input.network",
                f"“{_shown(text)}” is no address and no network.",
                f"Type {_network_of(text)}." if _network_of(text) else "It looks like 203.0.113.7 or 10.0.0.0/8.",
            ) from None
    if len(found) > MOST_NETWORKS:
        raise Refused("input.network", f"{len(found)} networks are more than the {MOST_NETWORKS} that a name may have.")
    return tuple(found)


def headers(wanted: Mapping[str, str]) -> dict[str, str]:
    """Names and values of extra response headers (RFC 9110, 5)."""
    found: dict[str, str] = {}
    for name, value in wanted.items():
        header = _header_name(name.strip())
        if header.lower() in (other.lower() for other in found):
            raise Refused("input.header", f"{header} is there twice.", "Keep one of them.")
        found[header] = _header_value(header, value.strip())
    if len(found) > MOST_HEADERS:
        raise Refused("input.header", f"{len(found)} headers are more than the {MOST_HEADERS} that a name may have.")
    return found


def _header_name(name: str) -> str:
    if not HEADER_NAME.fullmatch(name):
        raise Refused("input.header", f"“{_shown(name)}” is no header name: letters, digits and hyphens alone.")
    if name.lower() == "strict-transport-security":
        raise Refused("input.header", f"{name} is a setting of its own.", "Set HSTS there.")
    if name.lower() in NOT_TO_BE_SET or name.lower().startswith(NOT_TO_BEGIN_WITH):
        raise Refused("input.header", f"{name} is not to be set: Nginx, Bakery or the application sends it itself.")
    return name


def _header_value(name: str, value: str) -> str:
    if not HEADER_VALUE.fullmatch(value) or len(value) > LONGEST_HEADER_VALUE:
        raise Refused("input.header", f"{name}: a value is one line of 1 to {LONGEST_HEADER_VALUE} ASCII characters.")
    if "$" in value:
        raise Refused("input.header", f"{name}: a value cannot hold “$”, which begins a variable in Nginx.")
    return value


def _network_of(text: str) -> str:
    """What somebody means who writes an address of the network in the network's place."""
    try:
        if "%" in text:
            return ""
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return ""


def _shown(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:60])
