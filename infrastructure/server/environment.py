"""``.env`` of a server: made with fresh secrets, and kept by every later run of the installer."""

from __future__ import annotations

import base64
import grp
import os
import secrets
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infrastructure import dotenv
from infrastructure.files import read_if_there, sync_directory
from infrastructure.network import network_environment
from infrastructure.server.server import HTTP_PORT, HTTPS_PORT, USER, Server

HEADING = "# The environment of this Bakery. It holds secrets. See .env.example for what each line means.\n"
FIRST_REDIS_PORT = 6380


@dataclass(frozen=True)
class Address:
    """How a browser reaches the panel, and below which domain applications answer."""

    base_url: str
    apps_domain: str


def address(server: Server, host_name: str, old: dict[str, str]) -> Address:
    """The machine's own, which needs neither DNS nor a certificate: the panel's domain stands in the database, so that
    it can be changed there. An address that somebody has set stays, https included."""
    host = server.public_ip or host_name
    before = old.get("BAKERY_BASE_URL", "")
    keeps = before and urlsplit(before).hostname in (host, server.domain)
    apps = f"{server.public_ip}.sslip.io" if server.public_ip else "localhost"
    return Address(before if keeps else f"http://{host}", old.get("BAKERY_APPS_DOMAIN") or apps)


def database_url(password: str, port: int) -> str:
    return f"postgres://bakery:{password}@127.0.0.1:{port}/bakery"


def plan(server: Server, old: dict[str, str], *, host_name: str, postgres_port: int, redis_port: int) -> dict[str, str]:
    """What the file has to say: every secret as it is, else a fresh one. ``old``: what it says now."""
    place = address(server, host_name, old)
    fixed = {
        "BAKERY_INSTALL_DIR": str(server.install_dir),
        "BAKERY_DATA_DIR": str(server.data_dir),
        "BAKERY_HOST": "127.0.0.1",
        "BAKERY_PORT": str(server.port),
        "BAKERY_BASE_URL": place.base_url,
        "BAKERY_PUBLIC_IP": server.public_ip,
        "BAKERY_PUBLIC_IPV6": server.public_ipv6,
        "BAKERY_PROCESSES": "systemd",
        "BAKERY_WEB_SERVER": "system",
        "BAKERY_HTTP_PORT": str(HTTP_PORT),
        "BAKERY_HTTPS_PORT": str(HTTPS_PORT),
        "CERTBOT_EMAIL": server.certbot_email,
    }
    begun_with = {
        "DATABASE_URL": database_url(secrets.token_urlsafe(24), postgres_port),
        "REDIS_URL": f"redis://:{secrets.token_urlsafe(24)}@127.0.0.1:{redis_port}/0",
        "SESSION_SECRET": secrets.token_urlsafe(48),
        "ENCRYPTION_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "BAKERY_APPS_DOMAIN": place.apps_domain,
        "BAKERY_BUN": str(server.bun),
        # A proxy or an authority of the machine's own: fetches and builds need them as the installer does.
        **network_environment(),
    }
    if postgres_port and not _has_admin(old):
        fixed["BAKERY_POSTGRES_ADMIN_URL_FILE"] = str(server.admin_url_file)
    # A secret may be in a file of its own, X_FILE, which the person made.
    missing = {name: value for name, value in begun_with.items() if not (old.get(name) or old.get(f"{name}_FILE"))}
    return {**missing, **fixed}


def _has_admin(old: dict[str, str]) -> bool:
    """Whether a person has said with which role databases of applications are made."""
    file = old.get("BAKERY_POSTGRES_ADMIN_URL_FILE")
    return bool(old.get("BAKERY_POSTGRES_ADMIN_URL") or (file and Path(file).exists()))


def write(server: Server, values: dict[str, str]) -> bool:
    """root:bakery 0640 from its first byte. Lines that a person added stay. Returns whether anything changed."""
    before = read_if_there(server.env_file)
    text = dotenv.edited(HEADING if before is None else before, values)
    group = grp.getgrnam(USER).gr_gid
    if text == before:
        os.chown(server.env_file, 0, group)
        server.env_file.chmod(0o640)
        return False
    handle, name = tempfile.mkstemp(prefix=".env.", dir=server.install_dir)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchown(file.fileno(), 0, group)
            os.fchmod(file.fileno(), 0o640)
            os.fsync(file.fileno())
        Path(name).replace(server.env_file)
        sync_directory(server.install_dir)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True


def free_port(first: int) -> int:
    """The first loopback port from there on that nobody listens on."""
    for port in range(first, first + 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"All ports from {first} to {first + 199} are taken.")
