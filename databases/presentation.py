"""What pages say of a database, a backup and a restore test: in words, a tone and a shape."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.crypto import salted_hmac

from bakery.models import Alarm
from databases.models import Backup, BackupPlan, BackupState, Database, DatabaseState
from databases.services.connection import address_of, url_of
from databases.services.overview import Overview
from infrastructure.errors import Problem

MASK = "••••••••"
USUAL_PORT = 5432
VERSION_LENGTH = 16
NEAR_PORT = 5433  # of the near end of a tunnel: 5432 is often somebody's own PostgreSQL


@dataclass(frozen=True)
class Said:
    """A state as a badge (``{% said %}``): ``tone`` is its colour, ``icon`` its shape, so neither is needed alone."""

    tone: str
    icon: str
    words: str
    detail: str = ""


STATES = {
    DatabaseState.CREATING: ("blue", "state-busy"),
    DatabaseState.READY: ("green", "check"),
    DatabaseState.FAILED: ("red", "cross"),
    DatabaseState.DROPPING: ("amber", "state-busy"),
}
BACKUP_STATES = {
    BackupState.RUNNING: ("blue", "state-busy"),
    BackupState.GOOD: ("green", "check"),
    BackupState.FAILED: ("red", "cross"),
}


def state_of(database: Database) -> Said:
    state = DatabaseState(database.state)
    if state == DatabaseState.READY and database.problem:
        return Said("red", "state-broken", "Needs attention", database.problem)
    if not database.is_managed and state == DatabaseState.FAILED:
        return Said("red", "cross", "Does not answer", database.problem)
    if not database.is_managed and state == DatabaseState.READY and not database.checked_at:
        return Said("grey", "state-waiting", "Not looked at yet")
    return Said(*STATES[state], str(state.label))


def state_of_backup(backup: Backup) -> Said:
    state = BackupState(backup.state)
    return Said(*BACKUP_STATES.get(state, ("amber", "state-busy")), str(state.label), backup.problem)


def attention(row: Overview) -> list[str]:
    """What a person has to look at, in a few words each."""
    found = [in_short(alarm) for alarm in row.alarms]
    if row.database.problem and not row.alarms:
        found.append(row.database.problem)
    return found


# What an alarm is about, where a list has no room for its sentence.
SHORT = {
    "database.backup-missing": "No good backup in time",
    "database.backup-failed": "The last backup failed",
    "database.backup-copy": "A backup could not be copied",
    "database.restore-test": "The last restore test failed",
    "database.quota": "Above its quota",
    "database.rotation": "Its password could not be rotated",
    "database.unreachable": "Cannot be reached",
}


def in_short(alarm: Alarm) -> str:
    return SHORT.get(alarm.key.partition(":")[0], alarm.message)


@dataclass(frozen=True)
class Row:
    """One line of the list of all databases."""

    overview: Overview

    @property
    def database(self) -> Database:
        return self.overview.database

    @property
    def state(self) -> Said:
        return state_of(self.database)

    @property
    def attention(self) -> list[str]:
        return attention(self.overview)

    @property
    def urgent(self) -> bool:
        return any(alarm.urgent for alarm in self.overview.alarms)


@dataclass(frozen=True)
class BackupRow:
    backup: Backup

    @property
    def state(self) -> Said:
        return state_of_backup(self.backup)


def kept_in_words(plan: BackupPlan) -> str:
    """“the newest 7, one for each of 4 weeks”. The newest one stays whatever the plan says."""
    found = [f"the newest {plan.keep_last}" if plan.keep_last > 1 else "the newest"]
    each = [(plan.keep_daily, "day"), (plan.keep_weekly, "week"), (plan.keep_monthly, "month")]
    spans = [f"{count} {span}s" if count > 1 else f"one {span}" for count, span in each if count]
    if spans:
        *some, last = spans
        found.append("one for each of " + (f"{', '.join(some)} and {last}" if some else last))
    return ", ".join(found)


@dataclass(frozen=True)
class Connection:
    """How a database is reached, without its password."""

    masked: str
    tunnel: str = ""  # a command for one's own machine
    through_tunnel: str = ""
    problem: str = ""


def connection_of(database: Database) -> Connection:
    try:
        if database.is_managed:
            host, port = address_of(database)
            user, name = database.login_role(), database.database_name
        else:
            parts = urlsplit(database.url.reveal())
            host, port = parts.hostname or "", str(parts.port or USUAL_PORT)
            user, name = parts.username or "", parts.path.lstrip("/")
    except (Problem, ValueError) as error:
        return Connection(MASK, problem=str(error))
    at = f"[{host}]" if ":" in host else host
    masked = f"postgresql://{user}:{MASK}@{at}:{port}/{name}"
    if not database.is_managed:
        return Connection(masked)
    near = f"postgresql://{user}@127.0.0.1:{NEAR_PORT}/{name}"
    return Connection(masked, f"ssh -L {NEAR_PORT}:{at}:{port} you@{server_name()}", f"psql {near}")


def version_of(database: Database, connection: Connection) -> str:
    """Another one as soon as the connection string, or what stands around it, is another."""
    try:
        url = url_of(database).reveal()
    except (Problem, ValueError):  # then nobody can be shown it
        url = ""
    said = f"{database.state} {connection} {url}"
    return salted_hmac("bakery.databases.connection", said).hexdigest()[:VERSION_LENGTH]


def server_name() -> str:
    """As people reach this machine by SSH: its public address, or where the pages are."""
    return str(settings.BAKERY.public_ip or urlsplit(settings.BAKERY.base_url).hostname or "server")
