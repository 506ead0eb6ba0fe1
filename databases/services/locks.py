"""Where the workers' locks lie. The kernel lets go of them when their holder dies."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

HEAVY_LOCK = "heavy.lock"  # held by whoever dumps or restores, one at a time on the host


def locks() -> Path:
    directory: Path = settings.BAKERY.data_dir / "locks"
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory
