"""Which databases are in a deployment's environment: in that of its next release."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from bakery.events import announce
from databases.models import Attachment, Database, DatabaseState
from deployments.models import Deployment
from infrastructure.errors import Problem, Refused
from infrastructure.values import EnvName


def attach(
    database: Database,
    deployment: Deployment,
    *,
    by: User | None,
    variable: str = "DATABASE_URL",
    pg_variables: bool = False,
) -> Attachment:
    """Asked for again, it changes ``pg_variables`` alone. Refused where the deployment has a variable of that name."""
    with transaction.atomic():
        found = Deployment.objects.select_for_update().get(pk=deployment.pk)
        if found.deleting:
            raise Problem("deployment.deleting", f"{found.name} is being deleted.", "Nothing more can be asked of it.")
        wanted = Database.objects.select_for_update().get(pk=database.pk)
        if wanted.state == DatabaseState.DROPPING:
            raise Problem("database.dropping", f"{wanted.name} is being dropped.", "Attach another database.")
        attachment = found.attachments.filter(variable=variable, database=wanted).first()
        attachment = attachment or Attachment(deployment=found, database=wanted, variable=EnvName(variable))
        attachment.pg_variables = pg_variables
        _refuse_taken(attachment)
        attachment.save()
    announce("deployment", deployment.pk)
    announce("database", database.pk)
    return attachment


def detach(attachment: Attachment, *, by: User | None) -> None:
    """The release that serves keeps it until the next one: only the address goes, nothing in the database."""
    Attachment.objects.filter(pk=attachment.pk).delete()
    announce("deployment", attachment.deployment_id)
    announce("database", attachment.database_id)


def _refuse_taken(wanted: Attachment) -> None:
    names = wanted.names
    for other in wanted.deployment.attachments.exclude(pk=wanted.pk).select_related("database"):
        if taken := sorted(other.names & names):
            raise Refused(
                "database.variable-taken",
                f"{wanted.deployment} has the database {other.database.name} as {taken[0]}.",
                "Give this one another variable, or detach the other first.",
            )
    variables = wanted.deployment.env_vars.filter(run_time=True, name__in=names).values_list("name", flat=True)
    if taken := sorted(variables):
        raise Refused(
            "database.variable-taken",
            f"{wanted.deployment} has an environment variable {taken[0]}.",
            "Remove that variable first, or attach the database with another name.",
        )
