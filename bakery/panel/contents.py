"""What is in a backup of the panel, and how it is packed: a tar inside the sealed stream.

``about.json`` comes first, so that what cannot be restored here is refused before anything large is unpacked.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from bakery.panel.sealed import PIECE, SealedReader, SealedWriter
from infrastructure.errors import HostProblem, Problem
from infrastructure.secret import Secret

ABOUT, SETTINGS, DATABASE, CERTIFICATES = "about.json", "settings.json", "database.dump", "certificates.tar"
FORMAT = 1


@dataclass(frozen=True)
class About:
    """What a backup says of itself. ``schema`` names every migration that its database has."""

    created_at: str
    base_url: str
    apps_domain: str
    version: str
    schema: list[str]
    deployments: list[str]
    persistent: list[str]  # “name: path” of each persistent directory, none of which is in the backup
    people: int
    with_logs: bool
    format: int = FORMAT


@dataclass(frozen=True)
class Unpacked:
    about: About
    settings: dict[str, str] = field(repr=False)
    database: Path
    certificates: Path | None  # None: the backup is of a version that had none


def pack(
    file: Path, passphrase: Secret, about: About, settings: dict[str, str], database: Path, certificates: Path
) -> None:
    """Write ``file`` (0600), which appears when it is whole."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with in_words(file):
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as out:
                writer = SealedWriter(out, passphrase)
                with tarfile.open(fileobj=writer, mode="w|", bufsize=PIECE) as tar:
                    _add(tar, ABOUT, json.dumps(asdict(about)).encode())
                    _add(tar, SETTINGS, json.dumps(settings).encode())
                    tar.add(certificates, CERTIFICATES, recursive=False, filter=_anonymous)
                    tar.add(database, DATABASE, recursive=False, filter=_anonymous)
                writer.finish()
                out.flush()
                os.fsync(handle)
            beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def unpack(file: Path, passphrase: Secret, into: Path, look: Callable[[About], None]) -> Unpacked:
    """Read all of ``file`` to its authenticated end. ``look`` may refuse it by what it says of itself."""
    about: About | None = None
    settings: dict[str, str] | None = None
    database, certificates = into / DATABASE, into / CERTIFICATES
    with in_words(file), file.open("rb") as source:
        reader = SealedReader(source, passphrase)
        with tarfile.open(fileobj=reader, mode="r|", bufsize=PIECE) as tar:
            for entry in tar:
                content = tar.extractfile(entry)
                if content is None:
                    continue
                if entry.name == ABOUT:
                    about = _about(json.load(content))
                    look(about)
                elif entry.name == SETTINGS:
                    settings = json.load(content)
                elif entry.name == DATABASE:
                    _copy(content, database)
                elif entry.name == CERTIFICATES:
                    _copy(content, certificates)
        reader.drain()
    if about is None or settings is None or not database.exists():
        raise Problem("backup.incomplete", "A part of the backup is missing.", "Take another copy of it.")
    return Unpacked(about, settings, database, certificates if certificates.exists() else None)


def _about(found: dict[str, object]) -> About:
    if found.get("format") != FORMAT:
        raise Problem(
            "backup.newer-format",
            "The backup was made by a version of Bakery whose backups this one does not know.",
            "Update Bakery, then restore it.",
        )
    return About(**found)  # type: ignore[arg-type]


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    tar.addfile(entry, io.BytesIO(data))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _copy(content: IO[bytes], path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        while data := content.read(PIECE):
            out.write(data)


@contextmanager
def in_words(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HostProblem(
            "backup.file",
            f"{error.filename or file}: {error.strerror or error}.",
            "Check the path, and that its disk has room.",
        ) from error
