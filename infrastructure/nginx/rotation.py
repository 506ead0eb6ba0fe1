"""Keeps Nginx's logs from filling the disk, without losing a line: rename, then have the workers open new files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from infrastructure.nginx.master import Master

MOST_BYTES = 64 * 1024 * 1024
KEPT = 4  # older files: access.json.1 is the newest of them


def rotate(logs: list[Path], master: Master, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Rotate the files that have outgrown ``most_bytes``; returns them. Workers write into a renamed file until the
    signal (USR1, nginx(8)) has them open the new one, so readers finish ``.1`` before they go on."""
    grown = [log for log in logs if log.exists() and log.stat().st_size > most_bytes]
    for log in grown:
        for number in range(KEPT, 1, -1):
            younger = Path(f"{log}.{number - 1}")
            if younger.exists():
                younger.replace(f"{log}.{number}")
        old = log.stat()
        log.replace(f"{log}.1")
        begin(log, old.st_uid, old.st_gid)
    pid = master.pid()
    if grown and pid:
        os.kill(pid, signal.SIGUSR1)
    return grown


def begin(log: Path, uid: int, gid: int) -> None:
    """Make the file before Nginx does, which would let every account of the host read what visitors ask for: addresses
    carry tokens. ``uid``: the workers', who open it again by its path when it is rotated."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.fchmod(handle, 0o640)
        if os.geteuid() == 0:
            os.fchown(handle, uid, gid)
    finally:
        os.close(handle)
