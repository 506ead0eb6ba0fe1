"""Removes the sockets that a killed Nginx left behind, then becomes Nginx.

``bind() … Address already in use`` would otherwise keep it from starting, for good. Used where no systemd unit
does the same in ``ExecStartPre``. Arguments: the program, its prefix directory, its configuration file.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path


def remove_stale_sockets(run: Path) -> int:
    """Unlink every unix socket below ``run`` on which nobody listens. Symlinks (the live ones) stay."""
    removed = 0
    for path in run.rglob("*.sock"):
        if not path.is_symlink() and stat.S_ISSOCK(path.lstat().st_mode) and not _answers(path):
            path.unlink()
            removed += 1
    return removed


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def main(program: str, prefix: str, configuration: str) -> None:
    remove_stale_sockets(Path(prefix) / "run")
    argv = [program, "-p", f"{prefix}/", "-e", "stderr", "-c", configuration, "-g", "daemon off;"]
    os.execv(program, argv)  # noqa: S606 - a launcher: no shell, an argv list


if __name__ == "__main__":
    main(*sys.argv[1:])
