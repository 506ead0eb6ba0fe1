"""The first page of a database: who uses it, what it measures, what happened to it."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Max
from django.db.models.functions import TruncDay
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from bakery.models import Task
from bakery.pages import Context, render_page
from bakery.permissions import access_database, person_of, requires
from bakery.roles import Action
from databases.chart import Point, size_chart
from databases.forms import AttachForm
from databases.models import Database, DatabaseSnapshot
from databases.presentation import connection_of, version_of
from databases.services.provisioning import check_external
from databases.services.uses import uses_of
from databases.views.page import ALARMS, HEAD, WORK, do, page_of

# What of the past is shown: its name, and whether every hour of it is a point.
SPANS = {"1": ("24 hours", True), "7": ("7 days", True), "30": ("30 days", True), "365": ("1 year", False)}
USUAL_SPAN = "30"


@requires(Action.VIEW)
@require_safe
def overview(request: HttpRequest, pk: int) -> HttpResponse:
    return render_overview(request, pk)


def render_overview(request: HttpRequest, pk: int, status: int = 200, **more: object) -> HttpResponse:
    found, context = page_of(request, pk, "detail")
    database = found.database
    connection = connection_of(database)
    may_reveal = person_of(request).may(Action.READ_DATABASE_SECRETS)
    context |= {
        "overview": found,
        "attachments": uses_of(database),
        "attach_form": AttachForm(database=database) if context["may_change"] else None,
        "connection": connection,
        "may_reveal": may_reveal,
        "address_version": version_of(database, connection) if may_reveal else "",
        "disclosed": database.disclosures.select_related("shown_to").first(),
        "recent": Task.objects.visible_to(request.user).filter(database=database).for_feed()[:6],
        "nothing_yet": "Nothing has been asked of this database yet.",
        **figures(database, request.GET.get("span", "")),
        **more,
    }
    parts = {
        "head": HEAD,
        "alarms": ALARMS,
        "work": WORK,
        "address": "databases/_address.html",
        "disclosed": "databases/_disclosed.html",
        "access": "databases/_access.html",
        "figures": "databases/_figures.html",
        "attachments": "databases/_attachments.html",
        "recent": "includes/_recent.html",
    }
    return render_page(request, "databases/overview.html", context, parts, status)


@requires(Action.MANAGE_DATABASES)
@require_POST
def check(request: HttpRequest, pk: int) -> HttpResponse:
    """Look again whether one that is elsewhere answers."""
    database = access_database(request, pk)
    said = f"Bakery looks whether {database.name} answers."
    return do(request, lambda: check_external(database, by=person_of(request)), said, "databases:detail", pk)


def figures(database: Database, wanted: str) -> Context:
    span = wanted if wanted in SPANS else USUAL_SPAN
    newest = DatabaseSnapshot.objects.filter(database=database).first()
    quota = database.quota_mb * 1024**2
    return {
        "figures": newest,
        "chart": size_chart(history(database, span), quota),
        "spans": [(key, words, key == span) for key, (words, _) in SPANS.items()],
        "quota_bytes": quota,
        "quota_percent": min(100, round(100 * newest.size_bytes / quota)) if newest and quota else None,
    }


def history(database: Database, span: str) -> list[Point]:
    since = timezone.now() - timedelta(days=int(span))
    taken = DatabaseSnapshot.objects.filter(database=database, taken_at__gte=since).order_by()
    if SPANS[span][1]:
        return list(taken.order_by("taken_at").values_list("taken_at", "size_bytes"))
    days = taken.annotate(day=TruncDay("taken_at")).values("day").annotate(most=Max("size_bytes")).order_by("day")
    return [(row["day"], row["most"]) for row in days]
