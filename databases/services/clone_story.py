"""The story of a clone: the source is dumped, and brought in as a restore is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from django.conf import settings

from bakery.models import Task
from bakery.panel.backup import private_tools
from databases.models import Database, DatabaseState
from databases.services import backup_files
from databases.services.bringing_in import before_of, bring_in, is_swapped, note_extensions, take_away
from databases.services.job import DatabaseJob
from databases.services.server import administrator, names_of
from databases.services.sessions import reading
from infrastructure.errors import HostProblem, Problem
from infrastructure.postgres import dropping
from infrastructure.postgres.dump_files import Format
from infrastructure.postgres.server import Place
from infrastructure.postgres.streaming import stream_dump


def clone(job: DatabaseJob) -> None:
    """The story. The database is there, made by the task before; it is brought in as a restore is, and the empty one
    is dropped at once."""
    if job.said.get("done"):
        return
    if not is_swapped(job):
        if job.database.state != DatabaseState.READY:
            raise Problem(
                "database.not-made", f"{job.database.name} could not be made, so nothing was cloned.", "See its task."
            )
        source = Database.objects.filter(pk=job.said["source"]).first()
        if source is None:
            raise Problem("clone.source-gone", "The database to be cloned is not there any more.")
        with _dump_of(job, source) as file:
            bring_in(job, file, Format.CUSTOM)
    _file_of(job).unlink(missing_ok=True)  # of a worker that was killed after the swap
    _note_done(job)
    with administrator() as admin:
        dropping.drop_database(admin, names_of(job.database), before_of(job))
    note_extensions(job.database)
    job.say(f"{job.database.name} is a copy")


def given_up(job: DatabaseJob, problem: Problem | None) -> None:
    """The database stays, empty."""
    _file_of(job).unlink(missing_ok=True)
    with suppress(HostProblem):
        if not is_swapped(job):
            take_away(job)


def _note_done(job: DatabaseJob) -> None:
    """From here on an application may write into it: it is not filled a second time."""
    job.said["done"] = True
    Task.objects.filter(pk=job.task.pk).update(ref=json.dumps(job.said))


@contextmanager
def _dump_of(job: DatabaseJob, source: Database) -> Iterator[Path]:
    file = _file_of(job)
    try:
        with job.phase("dump"), reading(source) as place:
            job.say(f"From {source.name} as it is now")
            _write_dump(job, place, file)
        yield file
    finally:
        file.unlink(missing_ok=True)


def _write_dump(job: DatabaseJob, place: Place, file: Path) -> None:
    try:
        backup_files.refuse_too_little_room(0)
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            stream_dump(
                place,
                lambda data: _whole(out, data),
                job.runner,
                on_output=job.log,
                watch=backup_files.refuse_full_disk,
                private_tools=private_tools(),
            )
    except OSError as error:
        raise HostProblem("backup.disk-full", f"The dump cannot be written: {error.strerror}.", "Make room.") from error


def _whole(out: IO[bytes], data: bytes) -> None:
    out.write(data)


def _file_of(job: DatabaseJob) -> Path:
    backups: Path = settings.BAKERY.backups_dir
    return backups / f".clone-{job.task.pk}.dump"
