from __future__ import annotations

from django.contrib import admin

from bakery.admin_pages import ReadOnly
from databases.models import Attachment, Backup, BackupPlan, Database, DatabaseSnapshot, Disclosure, Storage


@admin.register(Database)
class DatabaseAdmin(ReadOnly):
    """Read-only: a row that is changed here would not reach PostgreSQL."""

    list_display = ("name", "kind", "state", "deployment", "server_version", "problem", "created_at")
    list_filter = ("kind", "state")
    search_fields = ("name", "deployment__name")


@admin.register(Attachment)
class AttachmentAdmin(ReadOnly):
    list_display = ("deployment", "variable", "database", "pg_variables", "created_at")
    search_fields = ("deployment__name", "database__name", "variable")


@admin.register(Backup)
class BackupAdmin(ReadOnly):
    list_display = (
        "subject",
        "started_at",
        "state",
        "reason",
        "size_bytes",
        "pinned",
        "storage",
        "tested_at",
        "test_ok",
    )
    list_filter = ("state", "reason", "pinned", "test_ok")
    search_fields = ("subject", "problem", "sha256")
    date_hierarchy = "started_at"


@admin.register(BackupPlan)
class BackupPlanAdmin(ReadOnly):
    list_display = ("database", "schedule", "before_deploys", "storage", "test_every_days", "asked_at")


@admin.register(Storage)
class StorageAdmin(ReadOnly):
    list_display = ("name", "endpoint", "bucket", "prefix", "checked_at", "problem")


@admin.register(DatabaseSnapshot)
class DatabaseSnapshotAdmin(ReadOnly):
    list_display = ("database", "taken_at", "size_bytes", "table_count", "connections", "cache_hit")
    date_hierarchy = "taken_at"


@admin.register(Disclosure)
class DisclosureAdmin(ReadOnly):
    """Who was shown which secret: kept after the database is gone."""

    list_display = ("subject", "what", "shown_to", "shown_at")
    search_fields = ("subject", "shown_to__email")
    date_hierarchy = "shown_at"
