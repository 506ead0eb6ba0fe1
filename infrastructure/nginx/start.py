"""Becomes Nginx in the foreground, after putting away what a killed one left behind. Arguments: program, prefix,
configuration; a fourth, ``test``, only has the configuration tested. Or ``--sockets`` and the prefix: to put away
alone, before a unit of systemd starts Nginx; for that a copy of this file lies in the data directory.

A kill -9 of the master leaves its sockets (``bind() … Address already in use``, for good) and its workers, which
hold the port and go on serving. The workers are asked to finish what they have begun and to accept nothing more.
It imports the standard library alone, so that ``python -I -S start.py`` is quick.
"""

from __future__ import annotations

import os
import resource
import signal
import stat
import sys
import time
from pathlib import Path

OPEN_FILES = 65536  # two sockets per deployment and four connections per request: the usual 1,024 end at 500 sites
LET_GO_SECONDS = 3.0
LISTENING = 0x10000  # __SO_ACCEPTCON in the column Flags of /proc/net/unix


def main(program: str, prefix: str, configuration: str, mode: str = "run") -> None:
    raise_open_files()
    argv = [program, *(["-p", f"{prefix}/"] if prefix else []), "-c", configuration]
    if mode == "test":
        os.execv(program, [*argv, "-t", "-q"])  # noqa: S606 - a launcher: no shell, an argv list
    release_sockets(Path(prefix))
    os.execv(program, [*argv, "-g", "daemon off;"])  # noqa: S606


def raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if os.geteuid() == 0 and hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
        except (OSError, ValueError):
            pass  # a container without CAP_SYS_RESOURCE: what it has must do
        else:
            return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def release_sockets(prefix: Path) -> None:
    """Nobody listens on this instance's sockets, and their files are gone. Symlinks (the live ones) stay."""
    paths = [p for folder in ("run", "control") for p in (prefix / folder).rglob("*.sock") if not p.is_symlink()]
    mark = str(prefix / "control" / "control.sock")  # every process of this instance has it open, and no other
    orphans = processes_listening_on(mark)
    if any(_title(pid).startswith("nginx: master") for pid in orphans):
        sys.exit(f"Nginx already runs with the prefix {prefix}.")
    _signal(orphans, signal.SIGQUIT)  # finish what was begun, accept nothing more
    if not _nobody_listens(mark):
        _signal(processes_listening_on(mark), signal.SIGKILL)
        _nobody_listens(mark)
    for path in paths:
        try:
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        except FileNotFoundError:
            continue


def processes_listening_on(socket_path: str) -> set[int]:
    """Our processes that hold the listening socket which was bound to this path."""
    links = {f"socket:[{inode}]" for inode in _listening_inodes(socket_path)}
    if not links:
        return set()
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            handles = [str(handle.readlink()) for handle in (entry / "fd").iterdir()]
        except OSError:
            continue  # ended, or somebody else's
        if links & set(handles):
            found.add(int(entry.name))
    return found


def _listening_inodes(socket_path: str) -> set[str]:
    found = set()
    for line in Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == socket_path and int(fields[3], 16) & LISTENING:
            found.add(fields[6])
    return found


def _nobody_listens(socket_path: str) -> bool:
    deadline = time.monotonic() + LET_GO_SECONDS
    while _listening_inodes(socket_path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    if sys.argv[1] == "--sockets":
        release_sockets(Path(sys.argv[2]))
    else:
        main(*sys.argv[1:])
