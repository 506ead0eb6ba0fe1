"""Bakery's units on this machine, and the command ``bakery``."""

from __future__ import annotations

import grp
import re
from dataclasses import replace
from pathlib import Path

from infrastructure import dotenv
from infrastructure.files import read_if_there, write_atomically
from infrastructure.server.server import WRAPPER, Server
from infrastructure.server.work import Work
from infrastructure.systemd.bakery_units import (
    GROUP_OF_DOCKER,
    RELAY,
    RELAY_SOCKET,
    RENEWAL_TIMER,
    SERVICES,
    TARGET,
    Place,
    postgres_of,
    units,
)

UNITS = Path("/etc/systemd/system")
WRAPPER_TEXT = """\
#!/bin/sh
# Written by Bakery's installer: manage.py of the version that runs.
if [ ! -r '{env_file}' ]; then
    echo 'bakery: {env_file} can be read by root alone: sudo bakery …' >&2
    exit 1
fi
export BAKERY_ENV_FILE='{env_file}' PYTHONDONTWRITEBYTECODE=1
cd '{current}/.' && exec '{current}/.venv/bin/python' '{current}/manage.py' "$@"
"""


def systemd_version(work: Work) -> int:
    found = re.search(r"systemd (\d+)", work.systemctl("--version"))
    return int(found[1]) if found else 0


def has_docker_group() -> bool:
    try:
        grp.getgrnam(GROUP_OF_DOCKER)
    except KeyError:
        return False
    return True


def place(server: Server, work: Work) -> Place:
    values = dotenv.read(server.env_file)
    backups = values.get("BAKERY_BACKUPS_DIR")
    found = server.units_place(
        systemd=systemd_version(work),
        docker=has_docker_group(),
        certbot=values.get("BAKERY_CERTBOT") or "certbot",
        backups=Path(backups) if backups else None,
    )
    return replace(
        found,
        docker_subnet=values.get("BAKERY_DOCKER_SUBNET") or found.docker_subnet,
        postgres=postgres_of(_admin_url(values)),
    )


def _admin_url(values: dict[str, str]) -> str:
    """Of the server on which databases are made."""
    if file := values.get("BAKERY_POSTGRES_ADMIN_URL_FILE"):
        return (read_if_there(Path(file)) or "").strip()
    return values.get("BAKERY_POSTGRES_ADMIN_URL") or values.get("DATABASE_URL", "")


def write(where: Place, work: Work) -> set[str]:
    """Returns the names of those that are not as they were."""
    changed = {name for name, text in units(where).items() if read_if_there(UNITS / name) != text}
    for name in changed:
        write_atomically(UNITS / name, units(where)[name])
    work.systemctl("daemon-reload")
    return changed


def start(where: Place, work: Work, changed: set[str]) -> None:
    """Anew, all of them: the code or the environment may be others now. The way from containers to their databases
    alone is left open, where it is as it was."""
    if where.has_relay:
        work.systemctl("enable", "--quiet", RELAY_SOCKET)
        if changed & {RELAY, RELAY_SOCKET}:
            work.systemctl("stop", "--", RELAY_SOCKET, RELAY, check=False)
        work.systemctl("start", "--", RELAY_SOCKET)
    work.systemctl("enable", "--quiet", TARGET, RENEWAL_TIMER)
    work.systemctl("reset-failed", "--", *SERVICES, check=False)
    work.systemctl("restart", "--", *SERVICES, timeout=300)
    work.systemctl("start", "--", TARGET, RENEWAL_TIMER)


def write_wrapper(server: Server) -> None:
    text = WRAPPER_TEXT.format(env_file=server.env_file, current=server.current)
    write_atomically(WRAPPER, text, 0o755)
