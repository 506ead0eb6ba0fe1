"""The backups of one database, the newest first."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from bakery.pages import Context, render_page
from bakery.permissions import access_backup, person_of, requires
from bakery.roles import Action
from databases.backup_forms import CloneForm, DumpForm, RestoreForm
from databases.forms import LONGEST_NAME
from databases.models import Backup, BackupPlan, Database
from databases.presentation import BackupRow, kept_in_words
from databases.schedule import in_words
from databases.services import scheduling
from databases.views.page import ALARMS, HEAD, WORK, page_of

PER_PAGE = 50
COPY = "-copy"


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
        **plan_of(found.database),
        "dump_form": DumpForm(found.database.name, initial={"backup_first": True}),
        "clone_form": CloneForm(initial={"name": copy_of(found.database.name)}),
        **more,
    }
    parts = {
        "head": HEAD,
        "alarms": ALARMS,
        "work": WORK,
        "planned": "databases/_plan.html",
        "backups": "databases/_backups.html",
    }
    return render_page(request, "databases/backups.html", context, parts, status)


@requires(Action.VIEW)
@require_safe
def backup(request: HttpRequest, pk: int, backup_pk: int) -> HttpResponse:
    return render_backup(request, pk, backup_pk)


def render_backup(request: HttpRequest, pk: int, backup_pk: int, status: int = 200, **more: object) -> HttpResponse:
    """One backup: what it is, where it is, what can be done with it."""
    found, context = page_of(request, pk, "backups")
    one = access_backup(request, found.database, backup_pk)
    counts = [count for count in one.rows.values() if isinstance(count, int)]
    context |= {
        "live_url": reverse("databases:backup", args=[pk, backup_pk]),
        "backup": one,
        "state": BackupRow(one).state,
        "may_download": person_of(request).may(Action.READ_DATABASE_SECRETS),
        "table_count": len(counts),
        "row_count": sum(counts),
        "restore_form": RestoreForm(found.database.name, initial={"backup_first": True}),
        **more,
    }
    parts = {"head": HEAD, "alarms": ALARMS, "work": WORK, "backup": "databases/_backup.html"}
    return render_page(request, "databases/backup.html", context, parts, status)


def copy_of(name: str) -> str:
    """A name for a copy, as long as a name may be."""
    return f"{name[: LONGEST_NAME - len(COPY)].rstrip('-')}{COPY}"


def plan_of(database: Database) -> Context:
    plan = (
        BackupPlan.objects.filter(database=database)
        .select_related("schedule", "storage")
        .defer("passphrase", "storage__secret_key")
        .first()
    )
    if plan is None:
        return {"plan": None}
    found = {"plan": plan, "kept": kept_in_words(plan)}
    if plan.schedule is None:
        return found
    due = scheduling.next_time(plan.schedule, max(timezone.now(), plan.asked_at or plan.since))
    return {**found, "planned": in_words(plan.schedule), "next_at": due}
