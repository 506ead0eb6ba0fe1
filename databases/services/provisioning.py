"""Asks for a database: one that Bakery makes, other limits for it, or one elsewhere to be remembered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from bakery.models import Task, TaskKind
from databases.models import Database, DatabaseKind, DatabaseState
from databases.services.attaching import attach
from databases.services.external import checked_url
from databases.services.plans import begin_plan
from databases.services.requests import ask
from deployments.models import Deployment
from infrastructure.errors import Problem, Refused
from infrastructure.postgres.scram import new_password

EXTENSIONS = ("pg_trgm", "pgcrypto", "uuid-ossp", "vector")  # those that give their users no other rights
LIMITS = frozenset({"connection_limit", "statement_timeout", "idle_timeout", "quota_mb"})
AT_BIRTH = LIMITS | {"encoding", "locale"}  # the last two cannot be changed afterwards


def create_database(
    name: str,
    *,
    by: User | None,
    deployment: Deployment | None = None,
    attach_as: str | None = None,
    pg_variables: bool = False,
    extensions: Iterable[str] = (),
    **settings: Any,
) -> Database:
    """A worker makes it. ``attach_as``: the variable of ``deployment`` that will hold its connection string.

    ``settings`` are AT_BIRTH. One of the same name that could not be made is tried again, with these settings.
    Raises ``ValidationError`` by field.
    """
    _refuse_unknown(settings, AT_BIRTH)
    database = _unmade(name) or Database(name=name, created_by=by, password=new_password())
    database.deployment = deployment or database.deployment  # made again, by its name alone
    database.extensions = _allowed(extensions)
    for field, value in settings.items():
        setattr(database, field, value)
    database.state = DatabaseState.CREATING
    database.problem = ""
    with transaction.atomic():
        database.full_clean()
        database.save()
        begin_plan(database, by=by)
        if deployment and attach_as:
            attach(database, deployment, by=by, variable=attach_as, pg_variables=pg_variables)
        ask(database, TaskKind.CREATE_DATABASE, by=by)
    return database


def change_database(
    database: Database, *, by: User | None, extensions: Iterable[str] | None = None, **settings: Any
) -> Task:
    """Other limits or extensions; a worker brings the server to them. Limits hold for sessions that begin then."""
    _refuse_unknown(settings, LIMITS)
    require_managed(database)
    for field, value in settings.items():
        setattr(database, field, value)
    if extensions is not None:
        database.extensions = _allowed(extensions)
    database.full_clean()
    with transaction.atomic():
        task = ask(database, TaskKind.CHANGE_DATABASE, by=by)
        database.save(update_fields=[*settings, "extensions"])
    return task


def register_external(name: str, url: str, *, by: User | None) -> Database:
    """A database elsewhere, by its connection string. A worker looks whether it answers."""
    database = _unmade(name, DatabaseKind.EXTERNAL) or Database(name=name, kind=DatabaseKind.EXTERNAL, created_by=by)
    database.url = checked_url(url)
    database.state = DatabaseState.CREATING
    database.problem = ""
    with transaction.atomic():
        database.full_clean()
        database.save()
        ask(database, TaskKind.CREATE_DATABASE, by=by)
    return database


def check_external(database: Database, *, by: User | None) -> Task:
    """Look again whether it answers."""
    if database.is_managed:
        raise Problem("database.managed", f"{database.name} was made by Bakery.", "It is looked at all the time.")
    return ask(database, TaskKind.CHANGE_DATABASE, by=by, check=True)


def require_managed(database: Database) -> None:
    if not database.is_managed:
        raise Problem(
            "database.external",
            f"{database.name} is not Bakery's own: it is only known by its address.",
            "Change it where it is.",
        )
    if database.state in (DatabaseState.CREATING, DatabaseState.FAILED):
        raise Problem(
            "database.not-made",
            f"{database.name} has not been made{' yet' if database.state == DatabaseState.CREATING else ''}.",
            database.problem or "Wait until its task has ended.",
        )


def _unmade(name: str, kind: DatabaseKind = DatabaseKind.MANAGED) -> Database | None:
    return Database.objects.filter(name=name, kind=kind, state=DatabaseState.FAILED).first()


def _allowed(extensions: Iterable[str]) -> list[str]:
    wanted = sorted(set(extensions))
    if unknown := sorted(set(wanted) - set(EXTENSIONS)):
        raise Refused(
            "database.extension-unknown",
            f"{', '.join(unknown)}: Bakery does not install that extension.",
            f"There are: {', '.join(EXTENSIONS)}.",
        )
    return wanted


def _refuse_unknown(settings: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(settings.keys() - known):
        raise ValidationError(dict.fromkeys(unknown, f"There is no such field. There are: {', '.join(sorted(known))}."))
