"""A database as a backup or somebody's dump has it: asked for here, done by ``restore_story``. The old one is kept
until a person says that it may go, or wants it back."""

from __future__ import annotations

import json

from django.db import transaction

from accounts.models import User
from bakery.models import Task, TaskKind, TaskState
from databases.models import Backup, BackupReason, BackupState, Database
from databases.services import uploads
from databases.services.backups import request_backup
from databases.services.provisioning import require_managed
from databases.services.requests import ask
from databases.services.uploads import Upload
from infrastructure.errors import Problem, Refused

CONFIRM, UNDO = "confirm", "undo"


def request_restore(
    database: Database,
    *,
    backup: Backup | None = None,
    upload: Upload | None = None,
    by: User | None,
    backup_first: bool = True,
) -> Task:
    """From one of the two. Refused while the last restore is neither confirmed nor undone."""
    require_settled(database)
    said: dict[str, object]
    if backup and not upload:
        if backup.state != BackupState.GOOD:
            raise Problem("backup.not-good", f"{backup} is not a backup that can be used.", "Take another one.")
        said = {"backup": backup.pk}
    elif upload and not backup:
        uploads.find_upload(upload.token)
        said = {"upload": upload.token, "name": _short(upload.name)}
    else:
        raise Refused("restore.source", "A restore is from a backup or from an uploaded dump.", "Name one of them.")
    with transaction.atomic():
        first = _backup_first(database, by) if backup_first else None
        return ask(database, TaskKind.RESTORE, by=by, **said, **({"first": first.pk} if first else {}))


def confirm_restore(database: Database, *, by: User | None) -> Task:
    """The database as it was before is dropped."""
    _require_kept(database)
    return ask(database, TaskKind.RESTORE, by=by, verb=CONFIRM)


def undo_restore(database: Database, *, by: User | None) -> Task:
    """The database as it was before comes back; what was written since is lost."""
    _require_kept(database)
    return ask(database, TaskKind.RESTORE, by=by, verb=UNDO)


def wanted_uploads() -> set[str]:
    """Tokens of those that a restore waits for."""
    waiting = Task.objects.unfinished().filter(kind=TaskKind.RESTORE).exclude(ref="")
    return {token for ref in waiting.values_list("ref", flat=True) if (token := json.loads(ref).get("upload"))}


def _short(name: str) -> str:
    """What a task has room for."""
    while len(json.dumps(name)) > 80:
        name = name[:-1]
    return name


def _backup_first(database: Database, by: User | None) -> Task:
    """One that waits already is as good: the restore comes after it."""
    waiting = database.tasks.filter(kind=TaskKind.BACK_UP, state=TaskState.QUEUED).first()
    return waiting or request_backup(database, by=by, reason=BackupReason.RESTORE)


def require_settled(database: Database) -> None:
    require_managed(database)
    if database.previous:
        raise Problem(
            "restore.unconfirmed",
            f"The last restore of {database.name} is neither confirmed nor undone.",
            "Look whether it is right, then confirm it (the old database goes) or undo it.",
        )


def _require_kept(database: Database) -> None:
    require_managed(database)
    database.refresh_from_db(fields=["previous"])
    if not database.previous:
        raise Problem(
            "restore.none", f"No restore of {database.name} waits to be confirmed or undone.", "See its backups."
        )
