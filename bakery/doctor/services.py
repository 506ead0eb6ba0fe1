"""PostgreSQL, Redis, and Bakery's own processes, each asked itself."""

from __future__ import annotations

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from bakery import health, heartbeat
from bakery.doctor.docker import docker_findings
from bakery.doctor.finding import Finding, ok, wrong
from infrastructure.errors import Problem

START = "Start Bakery: infrastructure/scripts/quickstart.sh, or systemctl start bakery.target."
LOWEST_POSTGRES = 14
UNITS = {
    "worker-deploys": "bakery-worker",
    "worker-housekeeping": "bakery-worker",
    "beat": "bakery-beat",
    "collector": "bakery-logs",
}


def service_findings() -> list[Finding]:
    database = _database()
    findings = [database, *(_tables() if database.verdict == "ok" else []), _redis(), *docker_findings(settings.BAKERY)]
    for name, part in health.check_all().items():
        if name in ("database", "redis"):
            continue  # said above, with their versions
        findings.append(ok(name, part.detail) if part.ok else wrong(name, part.detail, f"{START} {_log_of(name)}"))
    return findings


def _log_of(name: str) -> str:
    if settings.BAKERY.processes == "systemd":
        return f"journalctl -u {UNITS.get(name, name)} says more."
    return f"Its log is logs/{'background' if name in heartbeat.PROCESSES else name}.log."


def _database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            version = str(cursor.fetchone()[0]).split()[0]
    except DatabaseError as error:
        return wrong("PostgreSQL", str(error).strip().splitlines()[0], f"Check DATABASE_URL. {START}")
    if int(version.split(".")[0]) < LOWEST_POSTGRES:
        return wrong("PostgreSQL", "is too old", f"Upgrade to {LOWEST_POSTGRES} or newer.", version)
    return ok("PostgreSQL", "answers", version)


def _tables() -> list[Finding]:
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        return [wrong("Tables", f"{len(missing)} migrations were not applied.", "manage.py migrate")]
    return [ok("Tables", "up to date"), _secrets_open()]


def _secrets_open() -> Finding:
    from deployments.models import EnvVar

    try:
        EnvVar.objects.order_by("-pk").first()
    except Problem as problem:
        return wrong("ENCRYPTION_KEY", problem.message, problem.hint)
    return ok("ENCRYPTION_KEY", "opens what is stored")


def _redis() -> Finding:
    try:
        info = heartbeat.connection().info("server")
    except (redis.RedisError, OSError) as error:
        return wrong("Redis", str(error), f"Check REDIS_URL. {START}")
    return ok("Redis", "answers", str(info.get("redis_version", "")))
