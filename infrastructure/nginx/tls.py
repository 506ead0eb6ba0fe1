"""What Bakery's servers have in common for HTTPS, as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infrastructure.certificates.names import store_name
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.rendering import HEADING, render
from infrastructure.values import port as parsed_port

REJECTS_HANDSHAKES = (1, 19, 4)  # ssl_reject_handshake
HTTP2_IS_A_DIRECTIVE = (1, 25, 1)  # before: a word of "listen", and so of all sites on that port
CERTIFICATE_BY_VARIABLE = (1, 15, 9)


@dataclass(frozen=True)
class Listening:
    """How this Nginx listens for visitors. ``https``: it may have the port; ``http2``: on it."""

    http_port: int
    https_port: int
    version: tuple[int, ...]
    ipv6: bool = True
    https: bool = True
    http2: bool = True


def https_files(prefix: Prefix, listening: Listening) -> dict[Path, str]:
    """Files that sites include, and the one at http level that stands before them all."""
    files = {
        prefix.listen_http: _listen(listening.http_port, listening.ipv6),
        prefix.acme_location: HEADING + render("acme.conf.template", root=prefix.root),
        prefix.tls: HEADING + render("tls.conf.template"),
        prefix.tls_refused: HEADING + _refusal(prefix, listening.version),
        prefix.edge: HEADING + render("edge-shared.conf.template", root=prefix.root),
    }
    if listening.https:
        files[prefix.listen_https] = listen_https(listening)
        files[prefix.edge] += render("unknown-tls.conf.template", root=prefix.root, conf=prefix.conf)
    return files


def listen_https(listening: Listening) -> str:
    if listening.http2 and listening.version >= HTTP2_IS_A_DIRECTIVE:
        return _listen(listening.https_port, listening.ipv6, " ssl") + "http2 on;\n"
    return _listen(listening.https_port, listening.ipv6, " ssl http2" if listening.http2 else " ssl")


def certificate_of(prefix: Prefix, name: str) -> str:
    """The lines of a server block that presents the store's current certificate of this name."""
    return certificate_lines(prefix.certificates / store_name(name) / "current")


def port_suffix(port: int, usual: int) -> str:
    """As it stands in an address."""
    return "" if port == usual else f":{parsed_port(port)}"


def _listen(port: int, ipv6: bool, words: str = "") -> str:
    addresses = [str(parsed_port(port)), *([f"[::]:{parsed_port(port)}"] if ipv6 else [])]
    return HEADING + "".join(f"listen {address}{words};\n" for address in addresses)


def _refusal(prefix: Prefix, version: tuple[int, ...]) -> str:
    if version >= REJECTS_HANDSHAKES:
        return "ssl_reject_handshake on;\n"
    return certificate_lines(prefix.certificates / "none")  # there is no such file, so the handshake fails


def certificate_lines(folder: Path) -> str:
    return render("certificate.conf.template", folder=folder)
