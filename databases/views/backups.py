"""The backups of one database, the newest first."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from bakery.models import Task
from bakery.pages import render_page
from bakery.permissions import requires
from bakery.roles import Action
from databases.models import Backup, BackupPlan
from databases.presentation import BackupRow
from databases.views.page import ALARMS, HEAD, WORK, page_of

PER_PAGE = 50


@requires(Action.VIEW)
@require_safe
def backups(request: HttpRequest, pk: int) -> HttpResponse:
    return render_backups(request, pk)


def render_backups(request: HttpRequest, pk: int, status: int = 200, **more: object) -> HttpResponse:
    found, context = page_of(request, pk, "backups")
    rows = Backup.objects.visible_to(request.user).for_list().filter(database=found.database).defer("rows")
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context |= {
        "overview": found,
        "page": page,
        "backups": [BackupRow(backup) for backup in page],
        "plan": BackupPlan.objects.filter(database=found.database).select_related("schedule", "storage").first(),
        "recent": Task.objects.visible_to(request.user).filter(database=found.database).for_feed()[:6],
        **more,
    }
    parts = {"head": HEAD, "alarms": ALARMS, "work": WORK, "backups": "databases/_backups.html"}
    return render_page(request, "databases/backups.html", context, parts, status)
