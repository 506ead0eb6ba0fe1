from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from analytics.host import host_figures
from bakery.feed import with_alarms
from bakery.models import BESIDE_THE_ENGINE, Alarm, Task
from bakery.pages import Context, Parts, open_alarms, render_page
from bakery.permissions import access_task, requires
from bakery.progress import phases_of, progress_of
from bakery.roles import Action
from deployments.models import Deployment, LogStream, StreamKind
from deployments.services.status import with_status

FEED_PAGE = 50
DASHBOARD_DEPLOYMENTS = 100


@requires(Action.VIEW)
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    def deployments() -> Context:
        visible = Deployment.objects.visible_to(request.user)
        rows = with_status(visible.for_list()[:DASHBOARD_DEPLOYMENTS])
        return {
            "deployments": rows,
            "deployment_count": len(rows) if len(rows) < DASHBOARD_DEPLOYMENTS else visible.count(),
        }

    def running() -> Context:
        tasks = list(Task.objects.visible_to(request.user).unfinished().for_feed().prefetch_related("steps")[:20])
        return {"running": [(task, progress_of(task)) for task in tasks]}

    def recent() -> Context:
        return {"recent": Task.objects.visible_to(request.user).for_feed()[:8]}

    parts = {
        "alarms": ("includes/_alarms.html", lambda: open_alarms(request)),
        "host": ("includes/_host.html", lambda: {"host": host_figures(settings.BAKERY.data_dir)}),
        "running": ("includes/_running.html", running),
        "deployments": ("deployments/_table.html", deployments),
        "recent": ("includes/_recent.html", recent),
    }
    return render_page(request, "dashboard.html", {"section": "dashboard"}, parts)


@requires(Action.VIEW)
@require_safe
def alarms(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """The alarms that are open, all or one deployment's: a part of pages."""
    return render(request, "includes/_alarms.html", open_alarms(request, pk))


@requires(Action.VIEW)
@require_safe
def database_alarms(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "includes/_alarms.html", open_alarms(request, database_pk=pk))


@requires(Action.VIEW)
@require_safe
def sidebar(request: HttpRequest) -> HttpResponse:
    return render(request, "includes/_sidebar_deployments.html")


@requires(Action.VIEW)
@require_safe
def activity(request: HttpRequest) -> HttpResponse:
    """The feed, newest first. ``before`` is the id of a task: paging by key stays right while new tasks arrive."""
    from bakery.forms import ActivityFilter

    filters = ActivityFilter(request.GET)
    tasks = filters.apply(Task.objects.visible_to(request.user).for_feed())
    rows = list(tasks[: FEED_PAGE + 1])
    query: dict[str, Any] = {
        name: value for name, value in request.GET.items() if value and name in (*filters.fields, "before")
    }
    older = {**query, "before": rows[FEED_PAGE - 1].pk} if len(rows) > FEED_PAGE else None
    newest = {name: value for name, value in query.items() if name != "before"}
    context = {
        "section": "activity",
        "filters": filters,
        "rows": with_alarms(rows[:FEED_PAGE], Alarm.objects.visible_to(request.user), filters, is_last_page=not older),
        "older": urlencode(older) if older else "",
        "is_first": "before" not in query,
        "newest": urlencode(newest),
        "filtered": bool(newest),
    }
    parts: Parts = {
        "feed": "activity/_feed.html",
        "alarms": ("includes/_alarms.html", lambda: open_alarms(request)),
    }
    return render_page(request, "activity/feed.html", context, parts)


@requires(Action.VIEW)
@require_safe
def task(request: HttpRequest, pk: int) -> HttpResponse:
    found = access_task(request, pk)
    streams = list(found.release.log_streams.all()) if found.release else []
    context = {
        "section": "activity",
        "task": found,
        "phases": phases_of(found),
        "progress": progress_of(found),
        "build_log": next((stream for stream in streams if stream.kind == StreamKind.BUILD), None),
    }
    if found.kind in BESIDE_THE_ENGINE:  # these have a log of their own
        context["has_log"] = True
        context["stream"] = LogStream.objects.visible_to(request.user).filter(task=found).first()
    parts = {"task": "activity/_task.html", "log": "activity/_log.html"}
    return render_page(request, "activity/task.html", context, parts)


@requires(Action.SIGN_IN)
def admin_login(request: HttpRequest) -> HttpResponse:
    response = redirect("accounts:login")
    response["Location"] += f"?{urlencode({'next': request.GET.get('next', '/admin/')})}"
    return response
