"""The instance's own Nginx: its prefix and its main configuration."""

from __future__ import annotations

from infrastructure.nginx.router import NginxRouter
from infrastructure.quickstart.layout import Account, Layout
from infrastructure.quickstart.programs import Program


def prepare(layout: Layout, program: Program, http_port: int, account: Account | None) -> None:
    """Write what Nginx starts with. As root its workers run under the servers' account."""
    router = NginxRouter(
        prefix=layout.nginx,
        nginx_binary=str(program.path),
        http_port=http_port,
        logs_dir=layout.logs,
        libraries=program.libraries,
    )
    router.prepare(account.name if account else None)
