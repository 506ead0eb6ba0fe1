"""The directories of an installation and who may enter them. Made by the installer, before the units are started."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

from infrastructure.systemd.bakery_units import Place


def directories(place: Place) -> dict[Path, int]:
    """Mode of each; all belong to root. Those whose mode has a group's bits belong to Bakery's group as well."""
    data = place.data_dir
    passed_through = (data, data / "builds", data / "persistent", data / "repositories", place.builds_dir)
    return {
        **dict.fromkeys(passed_through, 0o711),
        data / "static": 0o755,
        data / "letsencrypt": 0o700,
        # Nginx's workers read answers to challenges there.
        data / "nginx": 0o711,
        data / "nginx" / "acme": 0o755,
        # The web process stores dumps there that people upload; it has no other place.
        data / "uploads": 0o1770,
        place.logs_dir: 0o751,
        # Bakery's group is inherited by the files in it: the collector, which is not root, reads and empties them.
        place.logs_dir / "processes": 0o2750,
        # Likewise: the web process gives backups out, and writes none.
        place.backups: 0o2750,
    }


def make_directories(place: Place) -> None:
    """May be called again at any time."""
    group = grp.getgrnam(place.user).gr_gid
    for directory, mode in directories(place).items():
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, 0, group if mode & stat.S_IRGRP and not mode & stat.S_IROTH else 0)
        directory.chmod(mode)
