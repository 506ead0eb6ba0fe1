from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from bakery.admin_pages import ReadOnly
from bakery.models import Alarm, AvailableVersion, Task, TaskStep

admin.site.site_header = admin.site.site_title = "Bakery"
admin.site.index_title = "What Bakery has stored"
if admin.site.is_registered(Group):  # people have one role each, and no groups
    admin.site.unregister(Group)


class StepInline(admin.TabularInline):  # type: ignore[type-arg]
    model = TaskStep
    fields = readonly_fields = ("phase", "argv", "exit_code", "state", "note", "started_at", "ended_at")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False


@admin.register(Task)
class TaskAdmin(ReadOnly):
    list_display = ("id", "kind", "subject", "state", "requested_by", "created_at", "ended_at", "error_message")
    list_filter = ("state", "kind", "created_at")
    search_fields = ("subject", "error_id", "error_message", "requested_by__email")
    date_hierarchy = "created_at"
    ordering = ("-pk",)
    inlines = (StepInline,)


@admin.register(TaskStep)
class TaskStepAdmin(ReadOnly):
    list_display = ("id", "task", "phase", "command", "exit_code", "state", "started_at", "ended_at")
    list_filter = ("state", "phase")
    search_fields = ("task__subject", "phase", "note")
    ordering = ("-pk",)

    @admin.display(description="Command")
    def command(self, step: TaskStep) -> str:
        return str(step)[:120] if step.argv else ""


@admin.register(AvailableVersion)
class AvailableVersionAdmin(ReadOnly):
    list_display = ("id", "sha", "date", "current_sha", "seen_at", "looked_at", "problem")


@admin.register(Alarm)
class AlarmAdmin(ReadOnly):
    list_display = ("subject", "message", "urgent", "raised_at", "ended_at")
    list_filter = ("urgent",)
