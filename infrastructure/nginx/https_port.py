"""Whether the machine's own Nginx can have the port of HTTPS for Bakery's sites, beside what others have there."""

from __future__ import annotations

import socket
from dataclasses import replace

from infrastructure.nginx.directives import Directive
from infrastructure.nginx.installed import Installed
from infrastructure.nginx.tls import CERTIFICATE_BY_VARIABLE, HTTP2_IS_A_DIRECTIVE, Listening


def decided(listening: Listening, installed: Installed, *, ours: bool) -> tuple[Listening, list[str]]:
    """With what others' sites leave open, and what a person should know of that. Up to Nginx 1.25 words behind
    ``listen`` count for all servers of the address: a site of others' that speaks no TLS there, or no HTTP/2, would
    be changed by what Bakery says. ``ours``: Bakery's sites have the port already."""
    port = listening.https_port
    others = [found for found in installed.said if found.name == "listen" and _port_of(found) == port]

    def without(until: str) -> tuple[Listening, list[str]]:
        told = f"Bakery's sites have no HTTPS on this machine until {until}. Then run the installer again."
        return replace(listening, https=False), [told]

    if listening.version < CERTIFICATE_BY_VARIABLE:
        return without("its Nginx is 1.15.9 or newer")
    tls_by_directive = {found.file for found in installed.said if found.name == "ssl" and found.value == "on"}
    for found in others:
        if not {"ssl", "quic"} & set(found.arguments) and found.file not in tls_by_directive:
            return without(f"{found.file} no longer listens on {port} without TLS")
    if not others and not ours and taken(port):
        return without(f"another program has let go of port {port}")
    notes = []
    http2 = listening.version >= HTTP2_IS_A_DIRECTIVE or all(_speaks_http2(found) for found in others)
    if not http2:
        notes.append(
            f"{others[0].file} listens on {port} without http2, which this Nginx knows for a whole port alone: "
            "Bakery's sites are without it as well."
        )
    if others and not any("default_server" in found.arguments for found in others):
        notes.append(
            f"No site says default_server on port {port}: there, names that no site has are refused from now on. "
            f"Say it in {others[0].file} if that one is to answer them."
        )
    return replace(listening, http2=http2), notes


def _port_of(found: Directive) -> int:
    address = found.arguments[0] if found.arguments else ""
    text = address if address.isdigit() else address.rpartition(":")[2]
    return int(text) if text.isdigit() and not address.startswith("unix:") else 0


def _speaks_http2(found: Directive) -> bool:
    return "http2" in found.arguments or "quic" in found.arguments


def taken(port: int) -> bool:
    """Whether a program has it. Nginx itself would have said so in its configuration."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except PermissionError:
            return False  # we may not try, so Nginx has to
        except OSError:
            return True
    return False
