"""What the pages of one database share: its head, its alarms, what is being done with it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from bakery.models import Task
from bakery.pages import Context, open_alarms
from bakery.permissions import access_database, person_of
from bakery.progress import progress_of
from bakery.roles import Action
from databases.models import DatabaseState
from databases.presentation import Row
from databases.services.overview import Overview, overviews
from infrastructure.errors import Problem

HEAD = "databases/_head.html"
WORK = "databases/_work.html"
ALARMS = "includes/_alarms.html"


def page_of(request: HttpRequest, pk: int, tab: str) -> tuple[Overview, Context]:
    overview = overviews([access_database(request, pk)])[0]
    database = overview.database
    tasks = Task.objects.visible_to(request.user).filter(database=database)
    unfinished = tasks.unfinished().for_feed().select_related("log_stream").prefetch_related("steps")
    work: list[dict[str, Any]] = [{"task": task, "progress": progress_of(task)} for task in unfinished]
    may_change = person_of(request).may(Action.MANAGE_DATABASES) and database.state != DatabaseState.DROPPING
    own = reverse(f"databases:{tab}", args=[pk])
    return overview, {
        "section": "databases",
        "tab": tab,
        "database": database,
        "row": Row(overview),
        "may_change": may_change,
        # Where the refreshing parts are asked for: a form that came back with errors stands under a POST's address.
        "live_url": own if request.method == "POST" else request.get_full_path(),
        "work": work[::-1],  # the running one first, what waits behind it
        "busy_with": {item["task"].kind for item in work},
        **open_alarms(request, database_pk=pk),
    }


def said_in_one_line(problem: Problem | ValidationError) -> str:
    return f"{problem.message} {problem.hint}".strip() if isinstance(problem, Problem) else " ".join(problem.messages)


def do(request: HttpRequest, act: Any, said: str, to: str, *ids: int) -> HttpResponse:
    """Ask a service; what it refuses is said on the page that is led to."""
    try:
        act()
    except (Problem, ValidationError) as problem:
        messages.error(request, said_in_one_line(problem))
    else:
        messages.success(request, said)
    return redirect(to, *ids)
