"""Bakery's own instance of the machine's Redis: redis-server@bakery, which Debian's package has a template unit for."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.files import read_if_there, write_atomically
from infrastructure.secret import Secret
from infrastructure.server.server import Server
from infrastructure.server.work import Work

UNIT = "redis-server@bakery.service"
CONFIGURATION = Path("/etc/redis/redis-bakery.conf")
TEMPLATES = (Path("/lib/systemd/system/redis-server@.service"), Path("/usr/lib/systemd/system/redis-server@.service"))
PACKAGED = "redis-server.service"


def configuration(port: int, password: Secret) -> str:
    """Wake-ups and heartbeats: nothing in it may not be lost, so nothing is written to disk."""
    return "\n".join(
        (
            "# Written by Bakery's installer.",
            "bind 127.0.0.1",
            "protected-mode yes",
            f"port {port}",
            f"requirepass {password.reveal()}",
            "dir /var/lib/redis",
            "pidfile /run/redis-bakery/redis-server.pid",
            "logfile /var/log/redis/redis-server-bakery.log",
            "appendonly no",
            'save ""',
            "databases 4",
            "maxmemory 128mb",
            "maxmemory-policy noeviction",
            "tcp-keepalive 60",
            "",
        )
    )


def prepare(server: Server, work: Work, port: int, password: Secret) -> None:
    if not any(template.exists() for template in TEMPLATES):
        raise HostProblem(
            "install.no-redis-template",
            "This machine's Redis is not the distribution's: it has no unit redis-server@.service.",
            "apt-get install redis-server",
        )
    text = configuration(port, password)
    changed = read_if_there(CONFIGURATION) != text
    if changed:
        write_atomically(CONFIGURATION, text, 0o640)
    os.chown(CONFIGURATION, 0, pwd.getpwnam("redis").pw_gid)
    CONFIGURATION.chmod(0o640)
    if server.was_installed("redis-server"):
        # The package starts one on port 6379 without a password, which nobody here has asked for.
        work.systemctl("disable", "--quiet", "--now", PACKAGED, check=False)
    work.systemctl("enable", "--quiet", UNIT)
    work.systemctl("restart" if changed else "start", UNIT)
