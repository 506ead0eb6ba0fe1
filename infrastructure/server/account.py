"""The system user that Bakery's pages run as."""

from __future__ import annotations

import pwd

from infrastructure.server.server import USER, Server
from infrastructure.server.work import Work


def make_account(server: Server, work: Work) -> None:
    """No shell, no home, no password; a group of its own, which reads the environment and the process logs."""
    try:
        pwd.getpwnam(USER)
        return
    except KeyError:
        pass
    argv = ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(server.data_dir))
    work.run(*argv, "--shell", "/usr/sbin/nologin", "--comment", "Bakery", USER)
