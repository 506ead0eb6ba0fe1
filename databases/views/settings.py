"""A database's limits and extensions, when it is backed up, and its end."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from bakery.pages import render_page
from bakery.permissions import access_database, person_of, requires
from bakery.roles import Action
from databases.backup_forms import PlanForm
from databases.forms import DropForm, LimitsForm
from databases.models import BackupPlan, Database
from databases.services.dropping import drop_database
from databases.services.plans import set_plan
from databases.services.provisioning import change_database
from databases.services.retrying import make_again
from databases.views.page import ALARMS, HEAD, WORK, do, page_of
from infrastructure.errors import Problem


@requires(Action.VIEW, to_change=Action.MANAGE_DATABASES)
@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    if request.method != "POST":
        return render_settings(request, pk)
    database = access_database(request, pk)
    form = LimitsForm(database, request.POST)
    if form.is_valid():
        try:
            change_database(database, by=person_of(request), **form.changes())
        except (Problem, ValidationError) as problem:
            form.take(problem)
        else:
            messages.success(request, "Saved. PostgreSQL has it in a moment; limits hold for sessions that begin then.")
            return redirect("databases:settings", pk)
    return render_settings(request, pk, 422, limits_form=form)


@requires(Action.MANAGE_DATABASES)
@sensitive_post_parameters("passphrase")
@require_POST
def plan(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    form = PlanForm(_plan(database), request.POST)
    if form.is_valid():
        try:
            set_plan(database, by=person_of(request), **form.changes())
        except (Problem, ValidationError) as problem:
            form.take(problem)
        else:
            messages.success(request, "The plan is saved.")
            return redirect("databases:settings", pk)
    return render_settings(request, pk, 422, plan_form=form)


@requires(Action.MANAGE_DATABASES)
@require_POST
def drop(request: HttpRequest, pk: int) -> HttpResponse:
    """After its name was typed."""
    database = access_database(request, pk)
    form = DropForm(database.name, request.POST)
    if form.is_valid():
        try:
            drop_database(database, by=person_of(request), backup_first=form.cleaned_data["backup_first"])
        except (Problem, ValidationError) as problem:
            form.take(problem)
        else:
            messages.success(request, f"{database.name} is being dropped.")
            return redirect("databases:list")  # its own page is about to go
    return render_settings(request, pk, 422, drop_form=form)


@requires(Action.MANAGE_DATABASES)
@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    """Make again what could not be made, as it was asked for."""
    database = access_database(request, pk)
    said = f"{database.name} is being made."
    return do(request, lambda: make_again(database, by=person_of(request)), said, "databases:detail", pk)


def render_settings(request: HttpRequest, pk: int, status: int = 200, **more: object) -> HttpResponse:
    found, context = page_of(request, pk, "settings")
    forms = {
        "limits_form": LimitsForm(found.database),
        "plan_form": PlanForm(_plan(found.database)),
        "drop_form": DropForm(found.database.name, initial={"backup_first": True}),
        "users": list(found.database.attachments.all()),
        **more,
    }
    if not context["may_change"]:
        for form in forms.values():
            if isinstance(form, LimitsForm | PlanForm):
                form.disable()
    parts = {"head": HEAD, "alarms": ALARMS, "work": WORK}
    return render_page(request, "databases/settings.html", {**context, **forms}, parts, status)


def _plan(database: Database) -> BackupPlan | None:
    return BackupPlan.objects.filter(database=database).select_related("schedule", "storage").first()
