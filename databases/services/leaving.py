"""What becomes of a deployment's databases when it is deleted."""

from __future__ import annotations

from accounts.models import User
from databases.models import Attachment, Database, DatabaseState
from deployments.models import Deployment
from infrastructure.errors import Problem


def databases_to_drop(deployment: Deployment) -> list[Database]:
    """Those that Bakery made for it and that no other deployment has in its environment."""
    elsewhere = Attachment.objects.exclude(deployment=deployment).values("database")
    own = Database.objects.managed().filter(deployment=deployment).exclude(state=DatabaseState.DROPPING)
    return list(own.exclude(pk__in=elsewhere).order_by("name"))


def ask_to_drop(database: Database, *, by: User | None) -> None:
    """After a last backup; where somebody has asked for it already, that holds."""
    from databases.services.dropping import drop_database  # pages ask what would go; a worker lets it go

    try:
        drop_database(database, by=by)
    except Problem as problem:
        if problem.id != "database.busy":
            raise
