"""Dumps that people hand in: kept below the data directory until a worker has restored them.

The web process writes them, into a directory that is all it may write to; the workers read and remove them. A file's
name is random and says nothing; what it was called travels with the task.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.conf import settings

from infrastructure.errors import HostProblem, Refused
from infrastructure.files import make_directory
from infrastructure.postgres.dump_files import Format, format_of

PIECE = 1024 * 1024
LEAST_FREE = 512 * 1024 * 1024  # stays free for the host
KEPT_SECONDS = 24 * 3600.0  # for whoever hands one in and then never asks for the restore
_TOKEN = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True)
class Upload:
    """``token`` finds it again; ``name`` is what the person's file was called."""

    token: str
    name: str
    size_bytes: int
    format: Format

    @property
    def path(self) -> Path:
        return uploads_dir() / self.token


def uploads_dir() -> Path:
    directory: Path = settings.BAKERY.data_dir / "uploads"
    return directory


def keep_upload(file: IO[bytes], name: str) -> Upload:
    """Write it down piece by piece. Raises ``Refused`` (``dump.…``) and keeps nothing of what is no dump."""
    token = begin_upload()
    try:
        add_piece(token, 0, file)
        return complete_upload(token, name)
    finally:
        _part(token).unlink(missing_ok=True)


def begin_upload() -> str:
    """For one that comes in pieces: ``add_piece`` for each, then ``complete_upload``."""
    token = secrets.token_hex(16)
    with _storing():
        if not uploads_dir().is_dir():
            make_directory(uploads_dir(), 0o700)
        os.close(os.open(_part(token), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return token


def add_piece(token: str, at: int, piece: IO[bytes]) -> int:
    """What comes behind the first ``at`` bytes; returns how many there are now. One that comes twice is refused by its
    place, and the answer says where to go on."""
    with _opened(token) as out:
        size = out.seek(0, os.SEEK_END)
        if at != size:
            raise Refused("dump.piece", f"{size} bytes are here, so the next piece begins there.", "Go on from there.")
        try:
            while data := piece.read(PIECE):
                _refuse_too_much(size + len(data), out)
                _write(out, data)
                size += len(data)
        except BaseException:
            out.truncate(at)
            raise
    return size


def complete_upload(token: str, name: str) -> Upload:
    """It is whole. Refused, and not kept, where it is nothing that can be restored."""
    with _opened(token) as out:
        size = out.seek(0, os.SEEK_END)
        try:
            found = format_of(_part(token))
        except Refused:
            _part(token).unlink(missing_ok=True)
            raise
        os.fsync(out.fileno())
        _part(token).rename(uploads_dir() / token)
    return Upload(token, shown(name), size, found)


def find_upload(token: str, name: str = "") -> Upload:
    """Raises ``Refused`` where it is gone: used, or a day old."""
    if _TOKEN.match(token):
        with suppress(FileNotFoundError):
            path = uploads_dir() / token
            if path.is_symlink():
                raise _gone()
            return Upload(token, shown(name), path.stat().st_size, format_of(path))
    raise _gone()


def open_upload(path: Path) -> IO[bytes]:
    """For a worker, who may open everything: not what the pages' process has made a link of."""
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    except OSError:
        raise _gone() from None


def forget_upload(token: str) -> None:
    if _TOKEN.match(token):
        for name in (token, _part(token).name):
            (uploads_dir() / name).unlink(missing_ok=True)


def sweep_uploads(still_wanted: Callable[[], set[str]]) -> None:
    """Remove what nobody asked to restore, and what broke off while it came."""
    if old := list(_old()):
        wanted = still_wanted()
        for path in old:
            if path.name.partition(".")[0] not in wanted:
                path.unlink(missing_ok=True)


def _old() -> Iterator[Path]:
    with suppress(FileNotFoundError):
        for path in uploads_dir().iterdir():
            with suppress(FileNotFoundError):
                if path.is_file() and time.time() - path.stat().st_mtime > KEPT_SECONDS:
                    yield path


def most_bytes() -> int:
    return int(settings.BAKERY.dump_upload_mb) * 1024 * 1024


def _part(token: str) -> Path:
    return uploads_dir() / f"{token}.part"


@contextmanager
def _opened(token: str) -> Iterator[IO[bytes]]:
    """The file that is being uploaded, for one at a time."""
    if not _TOKEN.match(token) or not _part(token).is_file():
        raise _gone()
    with _storing(), _part(token).open("r+b", buffering=0) as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("dump.piece", "Another piece of it is being stored.", "Wait for its answer.") from None
        yield out


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise _gone() from None
    except OSError as error:
        raise HostProblem(
            "dump.no-room", f"The dump could not be stored: {error.strerror}.", "Make room in the data directory."
        ) from error


def _write(out: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:  # a disk that fills takes a part, and refuses the rest
        view = view[out.write(view) :]


def _refuse_too_much(size: int, out: IO[bytes]) -> None:
    if size > most_bytes():
        raise Refused(
            "dump.too-large",
            f"The dump is larger than the {settings.BAKERY.dump_upload_mb} MiB that may be uploaded.",
            "Raise BAKERY_DUMP_UPLOAD_MB, or compress it: pg_dump --format=custom.",
        )
    about = os.fstatvfs(out.fileno())
    if about.f_bavail * about.f_frsize < min(LEAST_FREE, about.f_blocks * about.f_frsize // 20) + PIECE:
        raise HostProblem("dump.no-room", "The dump could not be stored: the disk is nearly full.", "Make room.")


def _gone() -> Refused:
    return Refused("dump.gone", "The file that was uploaded is not there any more.", "Upload it again.")


def shown(name: str) -> str:
    """What is printable of it, short."""
    bare = "".join(character for character in Path(name).name if character.isprintable())
    return bare[:60] or "a file"
