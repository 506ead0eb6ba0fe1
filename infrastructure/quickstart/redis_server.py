"""A Redis of the instance's own. It holds wake-ups and heartbeats, nothing that may not be lost."""

from __future__ import annotations

import os

from infrastructure.quickstart.environment_file import Services
from infrastructure.quickstart.layout import Account, Layout


def configuration(layout: Layout, reached: Services) -> str:
    return "\n".join(
        (
            "bind 127.0.0.1",
            f"port {reached.redis_port}",
            f"requirepass {reached.redis_password.reveal()}",
            f'dir "{layout.redis}"',
            "daemonize no",
            "appendonly no",
            'save ""',
            "databases 4",
            "maxmemory 128mb",
            "maxmemory-policy noeviction",
            "tcp-keepalive 60",
            'logfile ""',
            "",
        )
    )


def prepare(layout: Layout, reached: Services, account: Account | None) -> None:
    file = layout.redis / "redis.conf"
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(configuration(layout, reached))
    if account:
        os.chown(file, account.uid, account.gid)
