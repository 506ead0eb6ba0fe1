"""Whether a process group still has somebody in it."""

from __future__ import annotations

import os
from pathlib import Path


def group_is_alive(group: int) -> bool:
    """A zombie is nobody: the host's init may take seconds to reap one that it inherited."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(_is_alive_in(entry, group) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _is_alive_in(entry: Path, group: int) -> bool:
    try:
        # "pid (name) state ppid pgrp …"; the name may hold spaces and parentheses (proc(5)).
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(fields[2]) == group and fields[0] not in "ZX"
