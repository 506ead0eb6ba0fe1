"""Databases in a release's environment. A snapshot names them by id; here they become addresses and passwords, each
time that a process is started, so that a restart and a rollback get the password of today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from django.utils.crypto import salted_hmac

from databases.models import Database, DatabaseState
from databases.services.addresses import injected_url, libpq_variables
from deployments.services.snapshot import Attached
from infrastructure.errors import Problem
from infrastructure.secret import Secret

FINGERPRINT_LENGTH = 16


@dataclass(frozen=True)
class Injected:
    """What one look at the databases gave: the variables, what logs must not show of them, and by the id of each
    database a fingerprint, which tells whether a process was given what it would be given now."""

    variables: Mapping[str, Secret]
    secrets: list[Secret]
    fingerprints: dict[str, str]


def inject(attached: Iterable[Attached], *, in_container: bool, wanted_by: str = "") -> Injected:
    """Raises ``Problem`` where a database cannot be used: it says what to do."""
    wanted = list(attached)
    rows = _rows(wanted)
    variables: dict[str, Secret] = {}
    for one in wanted:
        url = injected_url(_usable(rows.get(one.database), one, wanted_by or "This release"), in_container=in_container)
        if one.pg_variables:
            variables.update(libpq_variables(url))
        variables[one.variable] = url
    return Injected(variables, _secrets(rows.values()), _fingerprints(rows.values()))


def secrets_of(attached: Iterable[Attached]) -> list[Secret]:
    """What logs must never show: the passwords of today, and the ones that are being introduced."""
    return _secrets(_rows(attached).values())


def fingerprints(attached: Iterable[Attached]) -> dict[str, str]:
    """One query, however many they are: what asks for many deployments asks once."""
    return _fingerprints(_rows(attached).values())


def _secrets(databases: Iterable[Database]) -> list[Secret]:
    """What cannot be decrypted cannot be in a log either."""
    found: set[str] = set()
    for database in databases:
        for value in (database.password, database.next_password, database.url):
            try:
                found.add(text := value.reveal())
            except Problem:
                continue
            if "://" in text:
                found |= _password_in(text)
    return [Secret(text) for text in sorted(found) if text]


def _fingerprints(databases: Iterable[Database]) -> dict[str, str]:
    return {str(database.pk): _fingerprint(database) for database in databases}


def _fingerprint(database: Database) -> str:
    try:
        said = f"{database.login} {database.password.reveal()} {database.url.reveal()}"
    except Problem:  # no process can be given it
        return ""
    return salted_hmac("bakery.databases.injection", said).hexdigest()[:FINGERPRINT_LENGTH]


def _rows(attached: Iterable[Attached]) -> dict[int, Database]:
    ids = {one.database for one in attached}
    return Database.objects.in_bulk(ids) if ids else {}


def _password_in(url: str) -> set[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()


def _usable(database: Database | None, one: Attached, who: str) -> Database:
    if database is None:
        raise Problem(
            "database.gone",
            f"{who} wants the database {one.name} in {one.variable}, and that was dropped.",
            f"Attach a database as {one.variable}, or make it a variable of the deployment; then deploy.",
        )
    if database.state == DatabaseState.READY:
        return database
    why = {
        DatabaseState.CREATING: ("database.not-ready", "is still being made", "Try again when it is ready."),
        DatabaseState.DROPPING: ("database.dropping", "is being dropped", "Detach it, then deploy."),
        DatabaseState.FAILED: ("database.failed", "cannot be used", "See the database's page; then deploy again."),
    }[DatabaseState(database.state)]
    because = f": {database.problem}" if database.problem else "."
    raise Problem(
        why[0], f"{who} wants the database {database.name} in {one.variable}, which {why[1]}{because}", why[2]
    )
