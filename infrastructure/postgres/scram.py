"""What PostgreSQL stores of a password, made here: the password itself is in no statement and so in no server log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

from infrastructure.secret import Secret

ITERATIONS = 4096  # what PostgreSQL itself uses (postgresql.org/docs/current/runtime-config-connection.html)
VERIFIER = re.compile(r"SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")


def scram(password: str, salt: bytes) -> str:
    """RFC 5803."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    parts = (hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256"))
    stored, server = (base64.b64encode(part).decode() for part in parts)
    return f"SCRAM-SHA-256${ITERATIONS}:{base64.b64encode(salt).decode()}${stored}:{server}"


def verifier_of(password: Secret) -> str:
    return scram(password.reveal(), secrets.token_bytes(16))


def new_password() -> Secret:
    """Of letters that need no quoting in a URL."""
    return Secret(secrets.token_urlsafe(32))
