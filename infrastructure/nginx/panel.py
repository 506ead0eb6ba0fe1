"""The server block of Bakery's own pages, behind the machine's Nginx."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

from infrastructure.nginx.config import HEADING, render
from infrastructure.nginx.prefix import Prefix
from infrastructure.values import Hostname
from infrastructure.values import port as parsed_port


def panel_names(domain: str, public_ip: str, host_name: str) -> tuple[str, ...]:
    """What the pages answer to: the domain alone, or else the machine's address and its own name. Machines have names
    that no browser could ask for (``web_1``): such a one is left out."""
    if domain:
        return (server_name(domain),)
    names = [server_name(public_ip)] if public_ip else []
    with suppress(ValueError):
        names.append(server_name(host_name))
    return tuple(dict.fromkeys(names))


def server_name(text: str) -> str:
    """A host name or an address as it stands in a ``Host`` header; anything else is a ``ValueError``."""
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return str(Hostname(text))
    return f"[{address}]" if address.version == 6 else str(address)


def panel_config(prefix: Prefix, names: tuple[str, ...], port: int) -> str:
    """``port``: where Bakery's web process listens on 127.0.0.1."""
    if not names:
        raise ValueError("Bakery's pages have no usable name.")
    return HEADING + render(
        "panel.conf.template",
        root=prefix.root,
        conf=prefix.conf,
        names=" ".join(server_name(name) for name in names),
        port=parsed_port(port),
    )
