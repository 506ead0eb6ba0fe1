"""The server blocks of Bakery's own pages, behind the machine's Nginx or an instance's own."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from infrastructure.nginx.directives import in_text
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.rendering import HEADING, render
from infrastructure.nginx.tls import Listening, certificate_of, port_suffix
from infrastructure.values import Hostname
from infrastructure.values import port as parsed_port


@dataclass(frozen=True)
class Panel:
    """Bakery's own pages: the names they answer to (``panel_names``), the port of 127.0.0.1 that they are on, and
    those of the names that ``certificate``, in the store, is for: these are redirected to HTTPS."""

    names: tuple[str, ...]
    port: int = 4100
    certificate: str = ""
    secure: tuple[str, ...] = ()


def panel_names(base_url: str, public_ip: str, host_name: str) -> tuple[str, ...]:
    """What the pages answer to whatever their domains are: BAKERY_BASE_URL's host, the machine's address and its own
    name. Machines have names that no browser could ask for (``web_1``): such a one is left out."""
    names = []
    for text in (urlsplit(base_url).hostname or "", public_ip, host_name):
        with suppress(ValueError):
            names.append(server_name(text))
    return tuple(dict.fromkeys(names))


def server_name(text: str) -> str:
    """A host name or an address as it stands in a ``Host`` header; anything else is a ``ValueError``."""
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return str(Hostname(text))
    return f"[{address}]" if address.version == 6 else str(address)


def panel_config(prefix: Prefix, panel: Panel, listening: Listening) -> str:
    names = tuple(dict.fromkeys(server_name(name) for name in panel.names))
    if not names:
        raise ValueError("Bakery's pages have no usable name.")
    secure = tuple(name for name in names if listening.https and panel.certificate and name in panel.secure)
    plain = tuple(name for name in names if name not in secure)
    text = HEADING
    if secure:
        text += render(
            "panel-redirect.conf.template",
            conf=prefix.conf,
            names=" ".join(secure),
            port=port_suffix(listening.https_port, 443),
        )
        text += _pages(prefix, panel, secure, https=True)
    if plain and listening.https:
        text += render("edge-refused.conf.template", conf=prefix.conf, names=" ".join(plain))
    if plain:  # the last: what a version of Bakery without HTTPS keeps of this file
        text += _pages(prefix, panel, plain)
    return text


def _pages(prefix: Prefix, panel: Panel, names: tuple[str, ...], *, https: bool = False) -> str:
    certificate = f"include {prefix.tls};\n{certificate_of(prefix, panel.certificate)}" if https else ""
    return render(
        "panel.conf.template",
        {"listen": f"include {prefix.listen_https if https else prefix.listen};", "certificate": certificate},
        root=prefix.root,
        conf=prefix.conf,
        names=" ".join(names),
        scheme="https" if https else "http",
        port=parsed_port(panel.port),
    )


def panel_in(text: str) -> Panel:
    """What ``panel_config`` was given when it made this text."""
    said = in_text(text)
    names = [name for found in said if found.name == "server_name" for name in found.arguments]
    port = re.search(r":([0-9]+)$", next(found.value for found in said if found.name == "proxy_pass"))
    roots = [found.value for found in said if found.name == "root"]
    folder = re.search(r"/certificates/([a-z0-9-]+)/current$", roots[-1]) if roots else None
    # The names with a certificate come first.
    secure = tuple(next(found.arguments for found in said if found.name == "server_name")) if folder else ()
    return Panel(tuple(dict.fromkeys(names)), int(port[1]) if port else 0, folder[1] if folder else "", secure)
