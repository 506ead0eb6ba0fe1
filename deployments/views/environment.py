"""Environment variables. The list names them for everybody; values are shown to those alone who may change them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bakery.pages import render_page
from bakery.permissions import access_deployment, person_of, requires
from bakery.roles import Action
from deployments.forms import DotenvForm, VariableForm
from deployments.models import Deployment, EnvVar
from deployments.services.env import set_env, unset_env
from deployments.views.detail import HEAD, WORK, page_of
from infrastructure.errors import Problem


@requires(Action.VIEW)
@require_safe
def environment(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, pk)


@requires(Action.EDIT_ENV)
@sensitive_post_parameters("value")
@require_POST
def add(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    form = VariableForm(request.POST)
    if form.is_valid() and _set(form, deployment, request, **form.cleaned_data):
        messages.success(request, f"{form.cleaned_data['name']} is saved. It is live with the next release.")
        return redirect("deployments:environment", pk)
    return _page(request, pk, add=form)


@requires(Action.EDIT_ENV)
@sensitive_post_parameters("text")
@require_POST
def paste(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    form = DotenvForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data["text"]
        try:
            set_env(deployment, by=person_of(request), values=values)
        except Problem as problem:
            form.add_error("text", f"{problem.message} {problem.hint}".strip())
        else:
            noun = "variable is" if len(values) == 1 else "variables are"
            messages.success(request, f"{len(values)} {noun} saved, live with the next release.")
            return redirect("deployments:environment", pk)
    return _page(request, pk, paste=form)


@requires(Action.EDIT_ENV)
@never_cache
@sensitive_post_parameters("value")
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int, variable_pk: int) -> HttpResponse:
    deployment, context = page_of(request, pk, "environment")
    variable = _variable(deployment, variable_pk)
    initial = {
        "name": variable.name,
        "value": variable.value.reveal(),
        "build_time": variable.build_time,
        "run_time": variable.run_time,
    }
    form = VariableForm(request.POST if request.method == "POST" else None, initial=initial)
    form.fields["name"].disabled = True  # what is sent for it is not looked at
    if request.method == "POST" and form.is_valid() and _set(form, deployment, request, **form.cleaned_data):
        messages.success(request, f"{variable.name} is saved. It is live with the next release.")
        return redirect("deployments:environment", pk)
    context |= {"form": form, "variable": variable, "live_url": reverse("deployments:environment", args=[pk])}
    return render(request, "deployments/variable.html", context, status=422 if form.errors else 200)


@requires(Action.EDIT_ENV)
@never_cache
@require_safe
def reveal(request: HttpRequest, pk: int, variable_pk: int) -> HttpResponse:
    """The value in place of its dots, or with ``?hide=1`` the dots again: a part, never a page."""
    variable = _variable(access_deployment(request, pk), variable_pk)
    value = None if request.GET.get("hide") else variable.value.reveal()
    context = {"variable": variable, "deployment_pk": pk, "value": value, "revealed": value is not None}
    return render(request, "deployments/_value.html", context)


@requires(Action.EDIT_ENV)
@require_POST
def remove(request: HttpRequest, pk: int, variable_pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    variable = _variable(deployment, variable_pk)
    unset_env(deployment, by=person_of(request), names=[variable.name])
    messages.success(request, f"{variable.name} is removed. The app has it until the next release.")
    return redirect("deployments:environment", pk)


def _page(
    request: HttpRequest, pk: int, add: VariableForm | None = None, paste: DotenvForm | None = None
) -> HttpResponse:
    deployment, context = page_of(request, pk, "environment")
    context |= {
        # Without the values: a list has no use for them, and what is not read cannot leak.
        "variables": deployment.env_vars.defer("value"),
        "attachments": deployment.attachments.select_related("database").only(
            "variable", "pg_variables", "database__name", "deployment"
        ),
        "changed_names": {name.removeprefix("env ") for name in context["changed"] if name.startswith("env ")},
        "add_form": add or VariableForm(),
        "paste_form": paste or DotenvForm(),
        "paste_is_open": paste is not None,
    }
    status = 422 if add or paste else 200
    return render_page(request, "deployments/environment.html", context, {"head": HEAD, "work": WORK}, status)


def _set(
    form: VariableForm, deployment: Deployment, request: HttpRequest, *, name: str, value: str, **flags: Any
) -> bool:
    """Whether the service took it; what it refused stands beside the field."""
    try:
        set_env(deployment, by=person_of(request), values={name: value}, **flags)
    except Problem as problem:
        place = "name" if problem.id == "input.variable-name" else "value" if problem.id.startswith("input") else None
        form.add_error(place, f"{problem.message} {problem.hint}".strip())
        return False
    return True


def _variable(deployment: Deployment, pk: int) -> EnvVar:
    found: EnvVar | None = deployment.env_vars.filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such variable.")
    return found
