"""Bakery's own units, as this version wants them, written to the host."""

from __future__ import annotations

from pathlib import Path

from infrastructure.errors import Problem
from infrastructure.files import read_if_there, write_atomically
from infrastructure.runner import Command, Runner
from infrastructure.server.units import has_docker_group
from infrastructure.systemd import bakery_units
from infrastructure.systemd.directories import make_directories
from infrastructure.update.place import Place
from infrastructure.update.services import own_units


def write_units(place: Place) -> None:
    """Write them; those that an earlier version had and this one has not are removed. systemd is not told yet."""
    installation = installation_of(place)
    make_directories(installation)
    texts = bakery_units.units(installation)
    for name, text in texts.items():
        write_atomically(place.units / name, text)
    for unit in own_units(place.units):
        if unit.name not in texts:
            unit.unlink()


def installation_of(place: Place) -> bakery_units.Place:
    """What the units have to know of this host."""
    return bakery_units.Place(
        install_dir=place.install,
        data_dir=place.data,
        logs_dir=place.logs,
        builds_dir=Path(place.setting("BAKERY_BUILDS_DIR") or place.data / "builds"),
        host=place.setting("BAKERY_HOST", "127.0.0.1"),
        port=int(place.setting("BAKERY_PORT", "4100")),
        systemd=systemd_version(),
        docker=has_docker_group(),
        certbot=place.setting("BAKERY_CERTBOT", "certbot"),
        docker_subnet=place.setting("BAKERY_DOCKER_SUBNET", "10.207.0.0/16"),
        postgres=bakery_units.postgres_of(_admin_url(place)),
        backups_dir=Path(place.setting("BAKERY_BACKUPS_DIR") or place.data / "backups"),
    )


def _admin_url(place: Place) -> str:
    """Of the server on which databases are made. A file that is gone must not keep an update from going on."""
    if file := place.environment().get("BAKERY_POSTGRES_ADMIN_URL_FILE"):
        return (read_if_there(Path(file)) or "").strip()
    return place.environment().get("BAKERY_POSTGRES_ADMIN_URL") or place.setting("DATABASE_URL")


def systemd_version() -> int:
    """0: not known."""
    try:
        words = Runner().run(Command(("systemctl", "--version"), timeout=30), check=False).output.split()
    except Problem:
        return 0
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
