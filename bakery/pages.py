"""Whole pages and the parts of them that refresh: one view serves both, and decides by who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from bakery.models import Alarm

Context = dict[str, Any]
Parts = Mapping[str, str | tuple[str, Callable[[], Context]]]


SHOWN_ALARMS = 20


def open_alarms(request: HttpRequest, deployment_pk: int | None = None, *, database_pk: int | None = None) -> Context:
    """What ``includes/_alarms.html`` shows: the alarms of everything, of one deployment, or of one database."""
    found = Alarm.objects.visible_to(request.user).open().for_list()
    address = reverse("alarms")
    if deployment_pk is not None:
        found, address = found.filter(deployment=deployment_pk), reverse("deployment-alarms", args=[deployment_pk])
    elif database_pk is not None:
        found, address = found.of_databases(database_pk), reverse("database-alarms", args=[database_pk])
    rows = list(found[: SHOWN_ALARMS + 1])
    return {
        "alarms": rows[:SHOWN_ALARMS],
        "more_alarms": found.count() - SHOWN_ALARMS if len(rows) > SHOWN_ALARMS else 0,
        "alarms_url": address,
        "alarms_of_one": deployment_pk is not None or database_pk is not None,
    }


def render_page(
    request: HttpRequest,
    template: str,
    context: Context,
    parts: Parts | None = None,
    status: int = 200,
) -> HttpResponse:
    """``template`` whole, or the one part that htmx asked for.

    ``parts`` maps the element id that htmx will replace to the template of that element, or to (template, function
    that gives what this part alone needs). The whole page needs the context of all parts.
    """
    htmx = getattr(request, "htmx", None)
    wanted: str = htmx.target or "" if htmx else ""
    parts = parts or {}
    if wanted in parts:
        part = parts[wanted]
        name, more = part if isinstance(part, tuple) else (part, dict)
        return render(request, name, {**context, **more()})
    for part in parts.values():
        if isinstance(part, tuple):
            context = {**context, **part[1]()}
    return render(request, template, context, status=status)
