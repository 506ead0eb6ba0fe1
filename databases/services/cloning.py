"""A copy of a database as it is now, under a name of its own, for another deployment. Done by ``clone_story``."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from bakery.models import TaskKind
from databases.models import Attachment, Database, DatabaseState
from databases.services.provisioning import EXTENSIONS, create_database
from databases.services.requests import ask
from deployments.models import Deployment
from infrastructure.errors import Problem

USUAL = "DATABASE_URL"


def clone_database(
    source: Database,
    *,
    name: str,
    by: User | None,
    deployment: Deployment | None = None,
    attach_as: str | None = USUAL,
) -> Database:
    """A database like ``source``, with what is in it at the moment when a worker copies it. With a ``deployment`` it is
    put into its environment as ``attach_as``, unless another one has that variable already (or None)."""
    if source.state != DatabaseState.READY:
        raise Problem("database.not-made", f"{source.name} is not ready, so it cannot be cloned.", "See its page.")
    taken = deployment and Attachment.objects.filter(deployment=deployment, variable=attach_as).exists()
    with transaction.atomic():
        database = create_database(
            name,
            by=by,
            deployment=deployment,
            attach_as=None if taken else attach_as,
            extensions=[extension for extension in source.extensions if extension in EXTENSIONS],
            encoding=source.encoding,
            locale=source.locale,
            connection_limit=source.connection_limit,
            statement_timeout=source.statement_timeout,
            idle_timeout=source.idle_timeout,
            quota_mb=source.quota_mb,
        )
        ask(database, TaskKind.CLONE_DATABASE, by=by, source=source.pk)
    return database
