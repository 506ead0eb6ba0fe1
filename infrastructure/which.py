from __future__ import annotations

import shutil
from pathlib import Path

from infrastructure.runner import SAFE_PATH


def which(name: str) -> Path | None:
    """Where ``name`` is: in the PATH of the person, or where system programs are (an ordinary user's lacks sbin)."""
    found = shutil.which(name) or shutil.which(name, path=SAFE_PATH)
    return Path(found) if found else None
