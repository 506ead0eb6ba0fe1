from __future__ import annotations

from databases.models.attachment import Attachment
from databases.models.backup import Backup, BackupPlan, BackupReason, BackupState, Storage
from databases.models.database import Database, DatabaseKind, DatabaseState, Disclosure
from databases.models.figures import DatabaseSnapshot

__all__ = [
    "Attachment",
    "Backup",
    "BackupPlan",
    "BackupReason",
    "BackupState",
    "Database",
    "DatabaseKind",
    "DatabaseSnapshot",
    "DatabaseState",
    "Disclosure",
    "Storage",
]
