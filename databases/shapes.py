"""Databases and backups as JSON: the API and the commands' ``--json`` give the same shapes. No secrets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from databases.models import Backup, BackupPlan, DatabaseSnapshot
from databases.services.overview import Overview
from databases.services.scheduling import as_text


def database_shape(row: Overview) -> dict[str, Any]:
    """What a list shows of a database."""
    database = row.database
    return {
        "id": database.pk,
        "name": database.name,
        "kind": database.kind,
        "state": database.state,
        "problem": database.problem,
        "deployment": {"id": database.deployment.pk, "name": database.deployment.name} if database.deployment else None,
        "attachments": [
            {
                "deployment": {"id": each.deployment.pk, "name": each.deployment.name},
                "variable": each.variable,
                "pg_variables": each.pg_variables,
            }
            for each in database.attachments.all()
        ],
        "size_bytes": row.figures.size_bytes if row.figures else None,
        "backup_at": _moment(row.backup.started_at) if row.backup else None,
        "restore_test": _test(row.tested) if row.tested else None,
        "alarms": [{"key": alarm.key, "message": alarm.message, "urgent": alarm.urgent} for alarm in row.alarms],
        "created_at": database.created_at.isoformat(),
    }


def database_detail(row: Overview) -> dict[str, Any]:
    """All of a database: its limits, its plan of backups, its newest figures. Not its password, nor its address."""
    database = row.database
    plan = BackupPlan.objects.filter(database=database).select_related("schedule", "storage").defer("passphrase")
    figures = DatabaseSnapshot.objects.filter(database=database).first()
    return {
        **database_shape(row),
        "database_name": database.database_name if database.is_managed else None,
        "server_version": database.server_version or None,
        "has_reader": database.has_reader,
        "settings": {
            "extensions": database.extensions,
            "connection_limit": database.connection_limit,
            "statement_timeout": database.statement_timeout,
            "idle_timeout": database.idle_timeout,
            "quota_mb": database.quota_mb,
        },
        "encoding": database.encoding,
        "locale": database.locale,
        "restored_from": bool(database.previous),
        "plan": plan_shape(found) if (found := plan.first()) else None,
        "figures": figures_shape(figures) if figures else None,
    }


def plan_shape(plan: BackupPlan) -> dict[str, Any]:
    return {
        "schedule": as_text(plan.schedule) if plan.schedule else None,
        "before_deploys": plan.before_deploys,
        "keep_last": plan.keep_last,
        "keep_daily": plan.keep_daily,
        "keep_weekly": plan.keep_weekly,
        "keep_monthly": plan.keep_monthly,
        "storage": plan.storage.name if plan.storage else None,
        "test_every_days": plan.test_every_days,
    }


def figures_shape(figures: DatabaseSnapshot) -> dict[str, Any]:
    return {
        "taken_at": figures.taken_at.isoformat(),
        "size_bytes": figures.size_bytes,
        "table_count": figures.table_count,
        "connections": figures.connections,
        "cache_hit": figures.cache_hit,
        "bloat_bytes": figures.bloat_bytes,
        "largest": figures.largest,
        "slow": figures.slow,
    }


def backup_shape(backup: Backup) -> dict[str, Any]:
    return {
        "id": backup.pk,
        "database": backup.subject,
        "state": backup.state,
        "reason": backup.reason,
        "pinned": backup.pinned,
        "size_bytes": backup.size_bytes,
        "sha256": backup.sha256,
        "sealed": backup.sealed,
        "server_major": backup.server_major or None,
        "here": bool(backup.file),
        "storage": backup.storage.name if backup.storage and backup.storage_key else None,
        "problem": backup.problem,
        "storage_problem": backup.storage_problem,
        "started_at": backup.started_at.isoformat(),
        "ended_at": _moment(backup.ended_at),
        "restore_test": _test(backup) if backup.tested_at else None,
    }


def _test(backup: Backup) -> dict[str, Any]:
    return {
        "ok": backup.test_ok,
        "at": _moment(backup.tested_at),
        "seconds": backup.test_seconds,
        "message": backup.test_message,
    }


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
