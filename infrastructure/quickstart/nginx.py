"""The instance's own Nginx: its prefix and its main configuration."""

from __future__ import annotations

import pwd

from infrastructure.nginx.router import NginxRouter
from infrastructure.quickstart.layout import Account, Layout
from infrastructure.quickstart.programs import Program


def prepare(layout: Layout, program: Program, values: dict[str, str], account: Account | None) -> None:
    """Write what Nginx starts with; ``values``: the instance's environment. As root its workers get an account that
    owns nothing: not PostgreSQL's."""
    router = NginxRouter(
        prefix=layout.nginx,
        nginx_binary=str(program.path),
        http_port=int(values["BAKERY_HTTP_PORT"]),
        https_port=int(values["BAKERY_HTTPS_PORT"]),
        panel_port=int(values["BAKERY_PORT"]),
        logs_dir=layout.logs,
        libraries=program.libraries,
    )
    router.prepare(_workers_account() if account else None)


def _workers_account() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("www-data", "nobody") if name in known)
