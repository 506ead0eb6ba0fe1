"""What a web server really shows to whoever asks for a name: seen by a TLS handshake, not read from a file."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

from cryptography import x509

from infrastructure.certificates.pem import Facts, facts_of

SECONDS = 5.0
ANY_LABEL = "bakery-looks-at-this"  # stands for every name below a wildcard


@dataclass(frozen=True)
class Shown:
    """``distrust``: why this host's own list of authorities does not lead to it; "" when it does."""

    facts: Facts
    distrust: str


def shown(name: str, port: int, address: str = "127.0.0.1", *, timeout: float = SECONDS) -> Shown:
    """Raises ``OSError`` (``ssl.SSLError`` is one) when there is no handshake."""
    asked = name.replace("*", ANY_LABEL, 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is wrong with it is looked at, not refused
    with (
        socket.create_connection((address, port), timeout=timeout) as plain,
        context.wrap_socket(plain, server_hostname=asked) as connection,
    ):
        leaf = connection.getpeercert(binary_form=True)
    if not leaf:
        raise ssl.SSLError("no certificate was shown")
    facts = facts_of(x509.load_der_x509_certificate(leaf))
    return Shown(facts, _distrust(asked, port, address, timeout))


def _distrust(name: str, port: int, address: str, timeout: float) -> str:
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((address, port), timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=name),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return str(error.verify_message)
    except OSError as error:
        return str(error)
