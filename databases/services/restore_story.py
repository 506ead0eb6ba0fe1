"""The story of a restore: brought in beside, swapped in; and of its end: the old database goes, or comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bakery.events import announce
from bakery.models import Task, TaskState
from databases.models import Backup, Database
from databases.services import backup_files, uploads
from databases.services.backups import open_backup, private_directory
from databases.services.bringing_in import before_of, bring_in, is_swapped, note_extensions, swap_in, take_away
from databases.services.job import DatabaseJob
from databases.services.restoring import CONFIRM, UNDO, require_settled
from databases.services.server import administrator, names_of
from infrastructure.errors import HostProblem, Problem
from infrastructure.postgres import dropping, managed
from infrastructure.postgres.dump_files import Format, Unpacked

TIMES = 10  # so many times what may be uploaded a dump may take when it is unpacked, and on the server


def restore(job: DatabaseJob) -> None:
    """The story of all three."""
    verb = job.said.get("verb")
    if verb == CONFIRM:
        with job.phase("drop the old database"):
            _drop_previous(job)
    elif verb == UNDO:
        _put_back(job)
    elif not is_swapped(job):
        require_settled(job.database)
        _refuse_without_backup(job)
        with _dump(job) as (file, found, most):
            bring_in(job, file, found, most=most)
    if verb not in (CONFIRM, UNDO):
        _keep(job)


def given_up(job: DatabaseJob, problem: Problem | None) -> None:
    """What was swapped in stays, and can be undone; what was not goes."""
    if job.said.get("verb"):
        with suppress(HostProblem):
            if job.said["verb"] == UNDO and _is_put_back(job):
                _forget_previous(job)
        return
    try:
        if is_swapped(job):
            _keep(job)
            return
    except HostProblem:
        return
    finally:
        uploads.forget_upload(str(job.said.get("upload", "")))
    take_away(job)


def _keep(job: DatabaseJob) -> None:
    Database.objects.filter(pk=job.database.pk).update(previous=before_of(job))
    note_extensions(job.database)
    take_away(job)
    uploads.forget_upload(str(job.said.get("upload", "")))
    job.say("Restored. The database as it was before is kept until you confirm, or undo it")


@contextmanager
def _dump(job: DatabaseJob) -> Iterator[tuple[Path, Format, int | None]]:
    if "backup" in job.said:
        backup = Backup.objects.select_related("storage").filter(pk=job.said["backup"]).first()
        if backup is None:
            raise Problem("backup.gone", "The backup was deleted meanwhile.", "Take another one.")
        job.say(f"From the backup {backup}")
        with open_backup(backup, job.refuse_cancelled) as file:
            yield file, Format.CUSTOM, None
        return
    upload = uploads.find_upload(str(job.said["upload"]), str(job.said.get("name", "")))
    most = TIMES * uploads.most_bytes()
    job.say(f"From {upload.name}: {upload.size_bytes:,} bytes, {upload.format.value}")
    if upload.format != Format.GZIPPED_CUSTOM:
        yield upload.path, upload.format, most
        return
    # pg_restore jumps to and fro in it. Not beside it: there the pages' process may write, and this one everywhere.
    with private_directory() as directory:
        unpacked = directory / "dump"
        with job.phase("unpack"):
            _unpack(job, upload.path, unpacked, most)
        yield unpacked, Format.CUSTOM, most


def _unpack(job: DatabaseJob, packed: Path, to: Path, most: int) -> None:
    try:
        with uploads.open_upload(packed) as opened, to.open("wb") as out:
            source = Unpacked(opened, most)
            while piece := source.read(uploads.PIECE):
                job.refuse_cancelled()
                backup_files.refuse_full_disk()
                out.write(piece)
    except OSError as error:
        raise HostProblem("dump.no-room", f"The dump cannot be unpacked: {error.strerror}.", "Make room.") from error


def _refuse_without_backup(job: DatabaseJob) -> None:
    first = Task.objects.filter(pk=job.said["first"]).first() if "first" in job.said else None
    if first and first.state != TaskState.SUCCEEDED:
        raise Problem(
            "restore.no-backup",
            "The backup that was to be made first was not made, so nothing was restored.",
            first.error_message or "See its task in Activity; or restore without a backup first.",
        )


def _drop_previous(job: DatabaseJob) -> None:
    names = names_of(job.database)
    if _is_kept_one(job.database):
        with administrator() as admin:
            dropping.drop_database(admin, names, job.database.previous)
    _forget_previous(job)
    job.say("The database as it was before the restore is gone")


def _put_back(job: DatabaseJob) -> None:
    """The row is told once the two are swapped; what was restored goes after that."""
    if job.database.previous and not _is_put_back(job):
        with administrator() as admin:
            if not (
                _is_kept_one(job.database)
                and managed.has_database(admin, names_of(job.database), job.database.previous)
            ):
                raise HostProblem(
                    "restore.previous-gone",
                    f"The database {job.database.previous} is not on the server any more.",
                    "Restore a backup instead; confirm this restore, so that nothing waits for it.",
                )
        with job.phase("swap"):
            swap_in(job, job.database.previous, _undone_of(job))
    _forget_previous(job)
    note_extensions(job.database)
    with job.phase("drop what was restored"), administrator() as admin:
        dropping.drop_database(admin, names_of(job.database), _undone_of(job))
    job.say("The database is as it was before the restore")


def _is_put_back(job: DatabaseJob) -> bool:
    with administrator() as admin:
        return managed.has_database(admin, names_of(job.database), _undone_of(job))


def _undone_of(job: DatabaseJob) -> str:
    return f"{job.database.database_name}_undone_{job.task.pk}"


def _forget_previous(job: DatabaseJob) -> None:
    Database.objects.filter(pk=job.database.pk).update(previous="")
    announce("database", job.database.pk)


def _is_kept_one(database: Database) -> bool:
    return database.previous.startswith(f"{database.database_name}_before_")
