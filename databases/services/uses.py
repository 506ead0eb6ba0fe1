"""Which deployments use a database, and which of them have not heard of it yet."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Prefetch

from databases.models import Attachment, Database
from databases.services.due import runs_with_older_password
from deployments.models import Deployment
from deployments.services.snapshot import Snapshot
from infrastructure.errors import Problem


@dataclass(frozen=True)
class Use:
    attachment: Attachment
    due: str = ""  # the verb that brings what the process does not know yet: "deploy", "restart"; nothing: it knows


def uses_of(database: Database) -> list[Use]:
    with_release = Prefetch("deployment", Deployment.objects.select_related("current_release__slot"))
    return [Use(each, _due(each)) for each in database.attachments.order_by("pk").prefetch_related(with_release)]


def _due(attachment: Attachment) -> str:
    deployment = attachment.deployment
    if deployment.current_release is None or deployment.deleting:
        return ""
    try:
        running = {one.variable: one for one in Snapshot.from_release(deployment.current_release).databases}
        has = running.get(attachment.variable)
        if not has or (has.database, has.pg_variables) != (attachment.database_id, attachment.pg_variables):
            return "deploy"
        return "restart" if not deployment.stopped and runs_with_older_password(deployment, has.database) else ""
    except Problem:  # the snapshot cannot be decrypted: the deployment's own page says so
        return ""
