"""The system users that Bakery's pages and its collector of logs run as."""

from __future__ import annotations

import pwd

from infrastructure.server.server import USER, Server
from infrastructure.server.work import Work
from infrastructure.systemd.bakery_units import COLLECTOR


def make_account(server: Server, work: Work) -> None:
    """No shell, no home, no password. The group ``bakery`` reads the environment and the process logs."""
    for name in (USER, COLLECTOR):
        try:
            pwd.getpwnam(name)
        except KeyError:
            argv = ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(server.data_dir))
            work.run(*argv, "--shell", "/usr/sbin/nologin", "--comment", "Bakery", name)
