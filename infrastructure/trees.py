"""Whole directories: hand them to an owner, take them away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def make_private(directory: Path, uid: int | None) -> Path:
    """A directory that Bakery owns and ``uid`` may enter and read, and no other user of the host."""
    directory.mkdir(parents=True, exist_ok=True)
    if uid is not None:
        os.chown(directory, 0, uid)
        directory.chmod(0o750)
    return directory


def make_owned(directory: Path, uid: int | None, mode: int = 0o700) -> Path:
    """A directory that belongs to ``uid``. Its parent has to be Bakery's, so that nobody can put a symlink there."""
    directory.mkdir(parents=True, exist_ok=True)
    if uid is not None:
        os.chown(directory, uid, uid, follow_symlinks=False)
    directory.chmod(mode)
    return directory


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it, whatever modes its owner gave; nothing there is fine."""
    if directory.is_symlink():
        directory.unlink()
        return
    if not directory.exists():
        return
    try:
        shutil.rmtree(directory)
    except PermissionError:  # as an ordinary user: a directory in it is read-only
        for path, _, _ in os.walk(directory):
            Path(path).chmod(0o700)
        shutil.rmtree(directory)
    except FileNotFoundError:
        # Somebody else is removing it as well: what is left is for this second look.
        shutil.rmtree(directory, ignore_errors=True)
