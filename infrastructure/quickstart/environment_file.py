"""``bakery.env``: the whole environment of an instance, readable by its owner alone.

Made once with fresh secrets; a later start keeps every secret and every line that a person added, and rewrites
what follows from the options.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from infrastructure.dotenv import read, write
from infrastructure.quickstart.layout import Layout
from infrastructure.quickstart.options import Options
from infrastructure.quickstart.programs import Programs
from infrastructure.secret import Secret

__all__ = ["Services", "is_free", "plan", "read", "services", "write"]

# The default. An instance at another port gets a range of its own, so that two can run beside each other.
FIRST_PORT = 4100
RANGES = 12
HTTPS_PORT = 8443


@dataclass(frozen=True)
class Services:
    """How PostgreSQL and Redis of the instance are reached: loopback ports and passwords."""

    postgres_port: int
    postgres_password: Secret
    redis_port: int
    redis_password: Secret

    @property
    def database_url(self) -> str:
        return f"postgres://bakery:{self.postgres_password.reveal()}@127.0.0.1:{self.postgres_port}/bakery"

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.redis_password.reveal()}@127.0.0.1:{self.redis_port}/0"


def services(values: dict[str, str]) -> Services:
    """From an earlier start, or fresh passwords and free ports."""
    database, redis = urlsplit(values.get("DATABASE_URL", "")), urlsplit(values.get("REDIS_URL", ""))
    taken: set[int] = set()
    postgres_port = _keep_or_find(database.port, taken)
    redis_port = _keep_or_find(redis.port, taken)
    return Services(
        postgres_port,
        Secret(database.password or secrets.token_urlsafe(24)),
        redis_port,
        Secret(redis.password or secrets.token_urlsafe(24)),
    )


def _keep_or_find(port: int | None, taken: set[int]) -> int:
    """The port of the last start while nobody else has it, else a free one."""
    while port is None or port in taken or not is_free(port):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    taken.add(port)
    return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))  # on every address, as Nginx will
        except OSError:
            return False
    return True


def plan(layout: Layout, options: Options, programs: Programs, old: dict[str, str]) -> dict[str, str]:
    """The environment for this start: everything old, what the options say, and what was missing."""
    reached = services(old)
    first = 20_000 + 1_000 * ((options.port - FIRST_PORT) % RANGES)
    return {
        **old,
        "DATABASE_URL": reached.database_url,
        "REDIS_URL": reached.redis_url,
        "SESSION_SECRET": old.get("SESSION_SECRET") or secrets.token_urlsafe(48),
        "ENCRYPTION_KEY": old.get("ENCRYPTION_KEY") or base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "BAKERY_HOST": old.get("BAKERY_HOST") or "127.0.0.1",
        "BAKERY_PORT": str(options.port),
        "BAKERY_BASE_URL": _base_url(old.get("BAKERY_BASE_URL", ""), options.port),
        "BAKERY_HTTP_PORT": str(options.http_port),
        "BAKERY_HTTPS_PORT": str(https_port(options, old)),
        "BAKERY_APPS_DOMAIN": old.get("BAKERY_APPS_DOMAIN") or "localhost",
        "BAKERY_DATA_DIR": str(layout.data),
        "BAKERY_PORT_RANGE": old.get("BAKERY_PORT_RANGE") or f"{first}-{first + 999}",
        "BAKERY_PROCESSES": "supervisord",
        "BAKERY_SUPERVISOR_URL": f"unix://{layout.supervisor_socket}",
        "BAKERY_NGINX": str(programs.nginx.path) if programs.nginx else "nginx",
        "BAKERY_NGINX_LIBRARIES": programs.nginx.libraries if programs.nginx else "",
        "BAKERY_BUN": str(programs.bun) if programs.bun else "bun",
        # Where the engine is, when it is not in its usual place (rootless Docker); docker's own variable.
        **{name: os.environ[name] for name in ("DOCKER_HOST",) if os.environ.get(name)},
        "BAKERY_ALLOW_FILE_REPOSITORIES": "true",  # whoever starts a quickstart owns the machine's files anyway
    }


def https_port(options: Options, old: dict[str, str]) -> int:
    """What was asked for. Otherwise no start fails for it: an instance may be older than HTTPS, or the second one."""
    if options.https_port:
        return options.https_port
    before = old.get("BAKERY_HTTPS_PORT", "")
    return _keep_or_find(int(before) if before.isdigit() else HTTPS_PORT, {options.port, options.http_port})


def _base_url(old: str, port: int) -> str:
    """One that a person has set (a reverse proxy in front) stays."""
    return old if old and not old.startswith("http://localhost:") else f"http://localhost:{port}"
