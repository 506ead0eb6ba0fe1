"""What applications' databases depend on: a role that may make them, programs that dump them, a place for backups, a
way to them from containers."""

from __future__ import annotations

import os
import shutil

import psutil
from django.db import DatabaseError
from django.db.models import Max

from bakery.doctor.finding import Finding, ok, warning, wrong
from bakery.doctor.places import LITTLE_BYTES
from bakery.environment import Environment
from bakery.panel.backup import private_tools
from databases.models import Database
from databases.services.addresses import gateway, is_loopback
from databases.services.server import admin, administrator
from infrastructure.errors import Problem
from infrastructure.postgres.tools import find_tools, fitting
from infrastructure.postgres.trust import lets_anyone_in

SUBJECT, OF_CONTAINERS, BACKUPS = "Databases", "Databases for containers", "Backups"
RELAY = "bakery-databases.socket"


def database_findings(bakery: Environment, *, docker: bool) -> list[Finding]:
    """``docker``: whether an engine answers. Without a database nothing is wrong for what databases lack."""
    try:
        wanted = Database.objects.managed().exists()
        largest = Database.objects.managed().aggregate(most=Max("snapshots__size_bytes"))["most"] or 0
    except DatabaseError:  # said elsewhere
        return []
    bad = wrong if wanted else warning
    try:
        with administrator() as found:
            major, role, host, port = found.major, found.role, found.connection.info.host, found.connection.info.port
    except Problem as problem:
        return [bad(SUBJECT, f"cannot be made or changed: {problem.message}", problem.hint)]
    findings = [ok(SUBJECT, f"are made as {role}", str(major))]
    if lets_anyone_in(admin()):
        detail = "PostgreSQL lets everybody in without a password, applications too."
        findings.append(warning(SUBJECT, detail, "Make “trust” in pg_hba.conf scram-sha-256, then reload PostgreSQL."))
    try:
        best = fitting(find_tools(private_tools()), major)[0]
        findings.append(ok("pg_dump", str(best.bin / "pg_dump"), str(best.major)))
    except Problem as problem:
        findings.append(bad("pg_dump", problem.message, problem.hint))
    findings.append(_backups(bakery, largest))
    if docker and (host.startswith("/") or is_loopback(host)):
        findings.append(_relay(bakery, port))
    return findings


def _backups(bakery: Environment, largest: int) -> Finding:
    place = bakery.backups_dir
    existing = next(part for part in (place, *place.parents) if part.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return wrong(
            BACKUPS, f"{place} cannot be written to.", f"Give {existing} to who runs Bakery, or set BAKERY_BACKUPS_DIR."
        )
    if bakery.processes == "systemd" and place.is_dir() and place.stat().st_mode & 0o007:
        return wrong(BACKUPS, f"{place} can be read by other accounts.", f"chmod 2750 {place}")
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1024**3:.1f} GB free for {place}"
    if free < largest:
        return warning(BACKUPS, f"{detail}; the largest database has {largest / 1024**3:.1f} GB.", "Make room.")
    if free < LITTLE_BYTES:
        return warning(BACKUPS, detail, "Make room, or keep fewer.")
    return ok(BACKUPS, detail)


def _relay(bakery: Environment, port: int) -> Finding:
    where = (gateway(), port)
    listening = {tuple(one.laddr) for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    if where in listening:
        return ok(OF_CONTAINERS, f"{where[0]}:{where[1]}")
    mend = "Start the quickstart again."
    if bakery.processes == "systemd":
        mend = f"systemctl start {RELAY}; where it is not there, start install.sh again."
    detail = f"nobody listens at {where[0]}:{where[1]}: applications in containers reach no database of this host."
    return warning(OF_CONTAINERS, detail, mend)
