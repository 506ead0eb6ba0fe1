"""What lists and pages say of databases: their last figures, backups, restore tests and open alarms. Few queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import OuterRef, Subquery

from bakery.models import Alarm
from databases.models import Backup, Database, DatabaseSnapshot


@dataclass
class Overview:
    """One database with what is known of it. ``backup`` is the last good one, ``tested`` the one tried last."""

    database: Database
    figures: DatabaseSnapshot | None = None
    backup: Backup | None = None
    tested: Backup | None = None
    alarms: list[Alarm] = field(default_factory=list)


def overviews(databases: Iterable[Database]) -> list[Overview]:
    rows = {database.pk: Overview(database) for database in databases}
    if not rows:
        return []
    for snapshot in _newest_figures(rows):
        rows[snapshot.database_id].figures = snapshot
    backups = Backup.objects.filter(database__in=rows).defer("passphrase", "rows")
    for backup in backups.good().order_by("database_id", "-started_at").distinct("database_id"):
        rows[backup.database_id or 0].backup = backup
    tried = backups.filter(tested_at__isnull=False).order_by("database_id", "-tested_at").distinct("database_id")
    for backup in tried:
        rows[backup.database_id or 0].tested = backup
    for alarm in Alarm.objects.open().of_databases(*rows).for_list():
        rows[alarm.database_pk or 0].alarms.append(alarm)
    return list(rows.values())


def _newest_figures(pks: Iterable[int]) -> Iterable[DatabaseSnapshot]:
    """One look into the index for each database: a year has 8,760 of them."""
    of_it = DatabaseSnapshot.objects.filter(database=OuterRef("pk")).order_by("-taken_at").values("pk")[:1]
    newest = Database.objects.filter(pk__in=pks).order_by().values_list(Subquery(of_it), flat=True)
    return DatabaseSnapshot.objects.filter(pk__in=newest).defer("largest", "slow")
