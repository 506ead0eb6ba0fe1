"""*Settings → Update Bakery*."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from bakery.models import Task, TaskKind
from bakery.pages import Context, render_page
from bakery.permissions import person_of, requires
from bakery.progress import progress_of
from bakery.roles import Action
from bakery.updates import requests
from bakery.updates.shapes import known
from infrastructure.errors import Problem

SHOWN_CHANGES = 50


@requires(Action.UPDATE_BAKERY)
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    found = known()

    def versions() -> Context:
        return {
            "known": found,
            "changes": found.last.changes[:SHOWN_CHANGES],
            "more_changes": max(0, len(found.last.changes) - SHOWN_CHANGES),
            "progress": progress_of(found.running) if found.running else None,
        }

    def recent() -> Context:
        return {
            "recent": Task.objects.for_feed().filter(kind=TaskKind.UPDATE)[:8],
            "nothing_yet": "Bakery has not been updated here yet.",
        }

    parts = {"versions": ("settings/_versions.html", versions), "recent": ("includes/_recent.html", recent)}
    return render_page(request, "settings/update.html", {"section": "settings"}, parts)


@requires(Action.UPDATE_BAKERY)
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    try:
        task = requests.update(by=person_of(request), ref=request.POST.get("ref", "").strip())
    except Problem as problem:
        messages.error(request, f"{problem.message} {problem.hint}".strip())
        return redirect("update")
    messages.info(request, "Updating Bakery. Sites go on serving; these pages are away for about half a minute.")
    return redirect("task", task.pk)


@requires(Action.UPDATE_BAKERY)
@require_POST
def look(request: HttpRequest) -> HttpResponse:
    try:
        requests.look()
    except Problem as problem:
        messages.error(request, f"{problem.message} {problem.hint}".strip())
    else:
        messages.info(request, "Looking for a newer version.")
    return redirect("update")
