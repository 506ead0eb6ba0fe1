"""Databases in environments, from both sides: the database's page and the deployment's tab."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from bakery.permissions import access_database, access_deployment, person_of, requires
from bakery.roles import Action
from databases.forms import AttachForm
from databases.models import Attachment, Database
from databases.services import attaching
from databases.views.of_deployment import render_databases
from databases.views.overview import render_overview
from databases.views.page import do
from deployments.models import Deployment
from infrastructure.errors import Problem


@requires(Action.MANAGE_DATABASES)
@require_POST
def attach(request: HttpRequest, pk: int) -> HttpResponse:
    """This database to the deployment that was chosen."""
    database = access_database(request, pk)
    form = AttachForm(request.POST, database=database)
    if form.is_valid() and _attach(request, form, database, form.cleaned_data["deployment"]):
        return redirect("databases:detail", pk)
    return render_overview(request, pk, 422, attach_form=form)


@requires(Action.MANAGE_DATABASES)
@require_POST
def attach_here(request: HttpRequest, pk: int) -> HttpResponse:
    """The database that was chosen to this deployment."""
    deployment = access_deployment(request, pk)
    form = AttachForm(request.POST, deployment=deployment)
    if form.is_valid() and _attach(request, form, form.cleaned_data["database"], deployment):
        return redirect("databases:of", pk)
    return render_databases(request, pk, 422, attach_form=form)


def _attach(request: HttpRequest, form: AttachForm, database: Database, deployment: Deployment) -> bool:
    """Whether the service took it; what it refused stands beside the field."""
    data = form.cleaned_data
    given = {"variable": data["variable"], "pg_variables": data["pg_variables"]}
    try:
        attaching.attach(database, deployment, by=person_of(request), **given)
    except (Problem, ValidationError) as problem:
        about_variable = isinstance(problem, Problem) and "variable" in problem.id
        form.take(problem, "variable" if about_variable else None)
        return False
    messages.success(request, f"{deployment.name} has {database.name} as {data['variable']} with its next release.")
    return True


@requires(Action.MANAGE_DATABASES)
@require_POST
def detach(request: HttpRequest, pk: int, attachment_pk: int) -> HttpResponse:
    """``back=deployment``: the button stood on the deployment's tab."""
    database = access_database(request, pk)
    attachment = Attachment.objects.filter(database=database, pk=attachment_pk).select_related("deployment").first()
    if attachment is None:
        raise Http404("It is not attached any more.")
    said = f"{attachment.variable} is gone from the next release of {attachment.deployment.name}."
    to = ("databases:of", attachment.deployment_id) if "back" in request.POST else ("databases:detail", pk)
    return do(request, lambda: attaching.detach(attachment, by=person_of(request)), said, *to)
