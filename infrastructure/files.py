"""Files are replaced whole: written beside, synced, given their mode, renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str, mode: int = 0o644, group: int | None = None) -> None:
    """Replace ``path``; a reader sees the old text or the new one, also after a power cut. ``group``: whose it becomes
    before it is seen, where that is not the directory's way already."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            if group is not None:
                os.fchown(file.fileno(), -1, group)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
        sync_directory(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def point_symlink(link: Path, target: str) -> None:
    """Make ``link`` point to ``target`` by one rename(2), whether it exists or not."""
    beside = link.with_name(f".{link.name}.{os.getpid()}.{os.urandom(4).hex()}")
    beside.symlink_to(target)
    try:
        beside.replace(link)
        sync_directory(link.parent)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def make_directory(path: Path, mode: int = 0o755, group: int | None = None) -> None:
    """``mkdir -p``, and this mode and group whatever the caller's umask and account."""
    # Below a directory of a group's the group is inherited, and with it the bit that bequeaths it: units that may not
    # set that bit themselves (RestrictSUIDSGID=) find nothing left to change.
    path.mkdir(mode=mode & 0o777, parents=True, exist_ok=True)
    if group is not None and path.stat().st_gid != group:
        os.chown(path, -1, group)
    if path.stat().st_mode & 0o7777 != mode:
        path.chmod(mode)


def read_if_there(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def sync_directory(path: Path) -> None:
    """A rename survives a power cut only when its directory is written out as well (fsync(2))."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
