"""A backup that is only in the storage, fetched back to this host: by a worker, as the web process, which gives backups
to people, has nothing that speaks to a storage."""

from __future__ import annotations

import hmac

from databases.models import Backup, BackupState
from databases.services import backup_files
from databases.services.job import DatabaseJob
from databases.services.storage import bucket_of
from infrastructure.errors import HostProblem, Problem


def bring_back(job: DatabaseJob) -> None:
    """Into the part file first, so whatever a killed worker leaves is none that anybody takes for a backup."""
    backup = Backup.objects.select_related("storage").filter(pk=job.said["backup"], state=BackupState.GOOD).first()
    if backup is None:
        raise Problem("backup.gone", "The backup was deleted meanwhile.", "Take another one.")
    if backup.file and backup_files.path_of(backup).is_file():
        job.say("It is here already")
        return
    if not (backup.storage and backup.storage_key):
        raise HostProblem("backup.file-gone", f"There is no copy of {backup} in a storage.", "Take another backup.")
    with job.phase("bring back"):
        job.say(f"Fetching {backup.storage_key} from {backup.storage.name}")
        backup_files.refuse_too_little_room(backup.size_bytes)
        with backup_files.writing(backup, as_it_is=True) as writer:
            for piece in bucket_of(backup.storage).get(backup.storage_key):
                job.refuse_cancelled()
                backup_files.refuse_full_disk()
                writer.take(piece)
                if writer.size > backup.size_bytes:
                    break  # it is another one
            if not hmac.compare_digest(writer.sha256, backup.sha256):
                raise HostProblem(
                    "backup.changed",
                    f"What {backup.storage.name} holds is not what was written: its checksum is another one.",
                    "Take another backup, and look who else writes into the bucket.",
                )
        file = backup_files.publish(backup)
        if not Backup.objects.filter(pk=backup.pk, state=BackupState.GOOD).update(file=file, problem=""):
            backup_files.discard(backup)
            raise Problem("backup.gone", "The backup was deleted meanwhile.", "Take another one.")
    job.say("It is here, and can be downloaded")
