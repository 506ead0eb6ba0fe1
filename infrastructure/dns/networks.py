"""Whose addresses these are."""

from __future__ import annotations

import ipaddress
import socket
from functools import cache

import psutil

# https://www.cloudflare.com/ips-v4 and /ips-v6, unchanged since September 2023.
CLOUDFLARE = (
    "173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18", "108.162.192.0/18",
    "190.93.240.0/20", "188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17", "162.158.0.0/15", "104.16.0.0/13",
    "104.24.0.0/14", "172.64.0.0/13", "131.0.72.0/22",
    "2400:cb00::/32", "2606:4700::/32", "2803:f800::/32", "2405:b500::/32", "2405:8100::/32", "2a06:98c0::/29",
    "2c0f:f248::/32",
)  # fmt: skip


def is_cloudflares(address: str) -> bool:
    """
    >>> is_cloudflares("104.16.1.1"), is_cloudflares("2606:4700::1"), is_cloudflares("203.0.113.9")
    (True, True, False)
    """
    found = ipaddress.ip_address(address)
    return any(found in network for network in _cloudflare() if network.version == found.version)


def is_public(address: str) -> bool:
    """Whether it is somebody's out in the Internet, also where it stands for an address of IPv4 (RFC 6052, 3056).

    >>> [is_public(text) for text in ("8.8.8.8", "64:ff9b::808:808", "64:ff9b::7f00:1", "2002:a00:1::1", "224.0.0.1")]
    [True, True, False, False, False]
    """
    found = ipaddress.ip_address(address)
    meant: ipaddress.IPv4Address | None = None
    if isinstance(found, ipaddress.IPv6Address):
        is_translated = found in ipaddress.IPv6Network("64:ff9b::/96")
        meant = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if is_translated else found.sixtofour
    return found.is_global and not found.is_multicast and (meant is None or meant.is_global)


# RFC 1918, 6598, 1122, 3927, 4193, 4291: nobody outside reaches these. Python's is_private has more, such as the
# networks of documentation.
INSIDE = (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip


def is_inside(address: str) -> bool:
    """Whether only machines of the same network can mean it.

    >>> is_inside("10.0.0.5"), is_inside("fd00::5"), is_inside("203.0.113.5")
    (True, True, False)
    """
    found = ipaddress.ip_address(address)
    return any(found in ipaddress.ip_network(network) for network in INSIDE)


def own_addresses() -> frozenset[str]:
    """Those of this machine's interfaces under which others may reach it."""
    found = set()
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            address = ipaddress.ip_address(one.address.partition("%")[0])
            if not address.is_loopback and not address.is_link_local:
                found.add(str(address))
    return frozenset(found)


@cache
def _cloudflare() -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in CLOUDFLARE)
