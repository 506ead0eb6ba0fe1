"""Files are replaced whole: written beside, synced, given their mode, renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace ``path``; a reader sees the old text or the new one, also after a power cut."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def point_symlink(link: Path, target: str) -> None:
    """Make ``link`` point to ``target`` by one rename(2), whether it exists or not."""
    beside = link.with_name(f".{link.name}.{os.getpid()}.{os.urandom(4).hex()}")
    beside.symlink_to(target)
    try:
        beside.replace(link)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
