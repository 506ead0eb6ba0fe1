"""A view of the file system in which a confined program sees its own directories and a /tmp of its own.

Two things are mended by a private mount namespace (mount_namespaces(7)), where the host lets us make one:
directories of Bakery that lie below a closed one (a checkout under /root, mode 0700, say) become reachable for a
program's own uid without opening the closed one, and programs of different deployments do not share /tmp
(Bun puts a ``node`` of its own into /tmp that another uid could otherwise have put there first).
Each such place is covered by an empty tmpfs, into which only the paths that the program needs are bound again.

Standard library only: ``launch.py`` imports this before it gives its rights away.
"""

from __future__ import annotations

import ctypes
import os
import stat
from pathlib import Path

CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE, MS_BIND, MS_NOSUID, MS_NODEV = 0x4000, 1 << 18, 0x1000, 2, 4
SHARED = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - these are what we cover


def seclude(reach: list[str], uid: int) -> None:
    """Make the namespace. Raises ``OSError`` when a path in ``reach`` would stay closed, else does what it can."""
    paths = [Path(os.path.realpath(path)) for path in reach]
    closed = {ancestor for path in paths if (ancestor := first_closed(path, uid))}
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        _check(libc.unshare(CLONE_NEWNS))
        _check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    except OSError as error:
        if closed:
            names = ", ".join(str(path) for path in sorted(closed))
            raise PermissionError(
                f"only Bakery's own user may enter {names}, "
                f"and this host allows no mount namespace ({error.strerror}). "
                "Keep the data directory where everybody may pass, in /var/lib/bakery say."
            ) from None
        return
    handles = {path: os.open(path, os.O_PATH) for path in paths}
    try:
        covered = dict.fromkeys(closed, 0o711) | {cover: 0o1777 for cover in SHARED if cover.is_dir()}
        for cover, mode in covered.items():
            if any(other in cover.parents for other in covered):
                continue  # gone with the other one
            options = f"mode={mode:o}".encode()
            _check(libc.mount(b"tmpfs", bytes(cover), b"tmpfs", MS_NOSUID | MS_NODEV, options))
        for path, handle in handles.items():
            if any(cover in path.parents for cover in covered):
                _bind(libc, handle, path)
    finally:
        for handle in handles.values():
            os.close(handle)


def first_closed(path: Path, uid: int) -> Path | None:
    """The topmost directory above ``path`` through which ``uid`` (and the group of that number) may not pass."""
    for ancestor in reversed(path.parents):
        about = ancestor.stat()
        bit = stat.S_IXUSR if about.st_uid == uid else stat.S_IXGRP if about.st_gid == uid else stat.S_IXOTH
        if not about.st_mode & bit:
            return ancestor
    return None


def _bind(libc: ctypes.CDLL, handle: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        path.mkdir(exist_ok=True)
    elif not path.exists():
        path.touch()
    _check(libc.mount(f"/proc/self/fd/{handle}".encode(), bytes(path), None, MS_BIND, None))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
