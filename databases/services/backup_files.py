"""The files of backups: written in one pass with their checksum and their seal, and read back again.

``<backups>/<database id>/<backup id>-<UTC time>.dump``, with ``.sealed`` behind it where it is. While it is written it
is called ``.….part``; it gets its name when it is whole and on the disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings

from bakery.panel.sealed import PIECE, SMALL_SCRYPT, SealedReader, SealedWriter
from databases.models import Backup
from infrastructure.disk import free_bytes, is_short, reserve_bytes
from infrastructure.errors import HostProblem
from infrastructure.files import make_directory, sync_directory
from infrastructure.secret import Secret

MIB = 1024 * 1024
NAME = r"\d+/\d+-\d{8}T\d{6}Z\.dump(\.sealed)?"  # of a file, and of its copy behind the storage's prefix


def root() -> Path:
    directory: Path = settings.BAKERY.backups_dir
    return directory


def name_of(backup: Backup) -> str:
    """Below the root: known from the row alone, so that whoever resumes knows what the one before has left."""
    sealed = ".sealed" if backup.sealed else ""
    return f"{backup.database_id}/{backup.pk}-{backup.started_at:%Y%m%dT%H%M%SZ}.dump{sealed}"


def path_of(backup: Backup) -> Path:
    return root() / (backup.file or name_of(backup))


def part_of(backup: Backup) -> Path:
    path = root() / name_of(backup)
    return path.with_name(f".{path.name}.part")


class BackupWriter:
    """Takes a dump piece by piece. ``size`` and ``sha256`` are those of the file as it lies there."""

    def __init__(self, file: IO[bytes], passphrase: Secret | None) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0
        self._sealed = SealedWriter(self, passphrase, SMALL_SCRYPT) if passphrase else None  # type: ignore[arg-type]

    def take(self, data: bytes) -> None:
        if self._sealed:
            self._sealed.write(data)
        else:
            self.write(data)

    def finish(self) -> None:
        if self._sealed:
            self._sealed.finish()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._file.write(data)
        self.size += len(data)
        return len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def writing(backup: Backup, *, as_it_is: bool = False) -> Iterator[BackupWriter]:
    """Write the backup's part file; whole and synced when the block ends, gone when it fails. ``as_it_is``: what is
    written is sealed already, where it is to be."""
    part = part_of(backup)
    passphrase = backup.passphrase if backup.sealed and not as_it_is else None
    try:
        with in_words(part):
            mode, file_mode = _modes()
            make_directory(part.parent, mode)
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, file_mode)  # whatever the umask
                writer = BackupWriter(file, passphrase)
                yield writer
                writer.finish()
                file.flush()
                os.fsync(handle)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def publish(backup: Backup) -> str:
    """The part becomes the file; its name."""
    name = name_of(backup)
    path = root() / name
    with in_words(path):
        part_of(backup).replace(path)
        sync_directory(path.parent)
    return name


def discard(backup: Backup) -> None:
    """Whatever there is of it on the disk."""
    for path in (part_of(backup), path_of(backup)):
        path.unlink(missing_ok=True)


def read_plain(path: Path, passphrase: Secret | None) -> Iterator[bytes]:
    """The dump in the file, unsealed, piece by piece."""
    with in_words(path), path.open("rb") as file:
        source = SealedReader(file, passphrase) if passphrase else file
        while piece := source.read(PIECE):
            yield piece


def checksum(path: Path, look: Callable[[], None] = lambda: None) -> str:
    found = hashlib.sha256()
    with in_words(path), path.open("rb") as file:
        while piece := file.read(MIB):
            look()
            found.update(piece)
    return found.hexdigest()


def refuse_full_disk() -> None:
    """While a backup is written: something stays free for the sites, the database and the logs."""
    directory = root()
    if is_short(directory):
        raise HostProblem(
            "backup.disk-full",
            f"The disk of the backups is running full: {free_bytes(directory) // MIB} MiB are left of {directory}.",
            "Make room, keep fewer backups, or let BAKERY_BACKUPS_DIR name a directory on another disk.",
        )


def refuse_too_little_room(expected: int) -> None:
    """Before anything is written."""
    with in_words(root()):
        root().mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_full_disk()
    room = free_bytes(root()) - reserve_bytes(root())
    if expected > room:
        raise HostProblem(
            "backup.disk-full",
            f"There is no room for the backup: it takes some {expected // MIB} MiB, and {max(0, room) // MIB} MiB of "
            f"{root()} may be used.",
            "Make room, keep fewer backups, or let BAKERY_BACKUPS_DIR name a directory on another disk.",
        )


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """What the disk refuses, as a ``Problem``."""
    try:
        yield
    except FileNotFoundError as error:
        raise HostProblem(
            "backup.file-gone", f"The file {path} is not there any more.", "Take another backup, or its copy."
        ) from error
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise HostProblem(
            "backup.disk-full" if is_full else "backup.file",
            f"{path} cannot be written or read: {error.strerror or error}.",
            "Make room on the disk." if is_full else "Look at the disk, and at the rights of its files.",
        ) from error


def _modes() -> tuple[int, int]:
    """Of directories and files: the owner's alone, unless the installer has given the directory to the group of
    Bakery's pages, where people download backups."""
    shared = root().is_dir() and bool(root().stat().st_mode & stat.S_ISGID)
    return (0o2750, 0o640) if shared else (0o700, 0o600)
