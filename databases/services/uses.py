"""Which deployments use a database, and which of them have not heard of it yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Prefetch

from databases.models import Attachment, Database
from databases.services.due import was_given_another
from databases.services.injection import fingerprints
from deployments.models import Deployment
from deployments.services.snapshot import Attached, Snapshot
from infrastructure.errors import Problem


@dataclass(frozen=True)
class Use:
    attachment: Attachment
    due: str = ""  # the verb that brings what the process does not know yet: "deploy", "restart"; nothing: it knows


def uses_of(database: Database) -> list[Use]:
    """As many queries for a hundred deployments as for one."""
    with_release = Prefetch("deployment", Deployment.objects.select_related("current_release__slot"))
    attachments = list(database.attachments.order_by("pk").prefetch_related(with_release))
    now = fingerprints([Attached("", database.pk, database.name)]) if attachments else {}
    return [Use(each, _due(each, now)) for each in attachments]


def _due(attachment: Attachment, now: Mapping[str, str]) -> str:
    """``now``: what a process would be given of the database today."""
    deployment = attachment.deployment
    release = deployment.current_release
    if release is None or deployment.deleting:
        return ""
    try:
        running = {one.variable: one for one in Snapshot.from_release(release).databases}
    except Problem:  # the snapshot cannot be decrypted: the deployment's own page says so
        return ""
    has = running.get(attachment.variable)
    if not has or (has.database, has.pg_variables) != (attachment.database_id, attachment.pg_variables):
        return "deploy"
    if deployment.stopped or release.slot is None:
        return ""
    return "restart" if was_given_another(release.slot, attachment.database_id, now) else ""
