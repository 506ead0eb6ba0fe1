"""Backups as files for people: streamed by the web process, as they lie there, and written down who got one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from accounts.models import User
from databases.models import Backup, BackupState, Disclosure
from databases.services.backup_files import path_of
from infrastructure.errors import HostProblem, Problem

PIECE = 256 * 1024


@dataclass(frozen=True)
class Download:
    """A sealed one stays sealed: whoever has it needs the passphrase as well."""

    name: str
    size_bytes: int
    file: IO[bytes]

    async def pieces(self) -> AsyncIterator[bytes]:
        with self.file:
            while data := await asyncio.to_thread(self.file.read, PIECE):
                yield data


def open_download(backup: Backup, *, by: User | None) -> Download:
    """Raises ``Problem``: ``backup.not-good``, ``backup.file-gone``, ``backup.unreadable``."""
    if backup.state != BackupState.GOOD:
        raise Problem("backup.not-good", f"{backup} is not a backup that can be used.", "Take another one.")
    path = path_of(backup)
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        where = "Take another one."
        if backup.storage and backup.storage_key:
            where = f"It is in {backup.storage.name}, as {backup.storage_key}: have it fetched back to this host first."
        raise HostProblem("backup.file-gone", f"The file of {backup} is not on this host.", where) from error
    except OSError as error:
        raise HostProblem(
            "backup.unreadable",
            f"The file of {backup} cannot be read: {error.strerror}.",
            f"On the server it is {path}.",
        ) from error
    try:
        Disclosure.objects.create(database=backup.database, subject=backup.subject, what="a backup", shown_to=by)
    except BaseException:
        file.close()
        raise
    # Of what was opened: a plan may have it deleted at any time.
    return Download(file_name(backup, path), os.fstat(file.fileno()).st_size, file)


def file_name(backup: Backup, path: Path) -> str:
    return f"{backup.subject}-{backup.started_at:%Y%m%d-%H%M}{''.join(path.suffixes)}"
