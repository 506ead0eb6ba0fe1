"""A database's limits and extensions, and its end."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from bakery.pages import render_page
from bakery.permissions import access_database, person_of, requires
from bakery.roles import Action
from databases.forms import LimitsForm
from databases.services.provisioning import change_database
from databases.views.page import ALARMS, HEAD, WORK, page_of
from infrastructure.errors import Problem


@requires(Action.VIEW, to_change=Action.MANAGE_DATABASES)
@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    form = LimitsForm(database, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            change_database(database, by=person_of(request), **form.changes())
        except (Problem, ValidationError) as problem:
            form.take(problem)
        else:
            messages.success(request, "Saved. PostgreSQL has it in a moment; limits hold for sessions that begin then.")
            return redirect("databases:settings", pk)
    return render_settings(request, pk, 422 if form.errors else 200, limits_form=form)


def render_settings(request: HttpRequest, pk: int, status: int = 200, **more: object) -> HttpResponse:
    found, context = page_of(request, pk, "settings")
    context |= {"limits_form": LimitsForm(found.database), **more}
    if not context["may_change"]:
        for name in ("limits_form",):
            context[name].disable()
    parts = {"head": HEAD, "alarms": ALARMS, "work": WORK}
    return render_page(request, "databases/settings.html", context, parts, status)
