"""What the application that runs has not seen yet of its databases, and what would bring it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from databases.models import Database
from databases.services.injection import fingerprints
from deployments.models import Deployment, Slot
from deployments.services.snapshot import Attached, Snapshot


@dataclass(frozen=True)
class Due:
    said: str
    verb: str  # "deploy" or "restart"


def due(deployment: Deployment) -> list[str]:
    return [found.said for found in what_is_due(deployment)]


def what_is_due(deployment: Deployment) -> list[Due]:
    """Nothing before the first deploy, nor while it is stopped as far as passwords go: a start brings the newest."""
    release = deployment.current_release
    if release is None:
        return []
    running = {one.variable: one for one in Snapshot.from_release(release).databases}
    wanted = {one.variable: one for one in Snapshot.of(deployment).databases}
    return [*_attached_since(running, wanted), *_passwords_since(deployment, running, wanted)]


def _attached_since(running: dict[str, Attached], wanted: dict[str, Attached]) -> list[Due]:
    found = []
    for variable in sorted(running.keys() | wanted.keys()):
        before, now = running.get(variable), wanted.get(variable)
        if now and (before is None or before.database != now.database):
            found.append(Due(f"{variable} becomes the address of {now.name} with the next deploy.", "deploy"))
        elif before and now is None:
            found.append(Due(f"{variable}, the address of {before.name}, goes with the next deploy.", "deploy"))
        elif before and now and before.pg_variables != now.pg_variables:
            what = "come" if now.pg_variables else "go"
            found.append(Due(f"PGHOST and the others of {now.name} {what} with the next deploy.", "deploy"))
    return found


def _passwords_since(deployment: Deployment, running: dict[str, Attached], wanted: dict[str, Attached]) -> list[Due]:
    """Of databases that stay. What is gone cannot be said to have another password."""
    slot = deployment.current_release.slot if deployment.current_release else None
    if slot is None or deployment.stopped or slot.release_id != deployment.current_release_id:
        return []
    now = fingerprints(running.values())
    return [
        Due(f"The address or the password of {one.name} is newer than the process: restart it.", "restart")
        for variable, one in sorted(wanted.items())
        if variable in running
        and running[variable].database == one.database
        and was_given_another(slot, one.database, now)
    ]


def runs_with_older_password(deployment: Deployment, database: Database | int) -> bool:
    """Whether the process that serves was given another address or password of ``database`` than there is now."""
    release = deployment.current_release
    if release is None or release.slot is None:
        return False
    pk = database if isinstance(database, int) else database.pk
    now = fingerprints(one for one in Snapshot.from_release(release).databases if one.database == pk)
    return was_given_another(release.slot, pk, now)


def was_given_another(slot: Slot, pk: int, now: Mapping[str, str]) -> bool:
    """Whether the slot's process was given something else of the database than ``now``, the fingerprints of today."""
    return str(pk) in now and slot.databases.get(str(pk)) != now[str(pk)]
