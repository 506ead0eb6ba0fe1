"""Making a database, and registering one that is elsewhere."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from bakery.permissions import person_of, requires
from bakery.roles import Action
from databases.forms import LIMITS, LONGEST_NAME, NewDatabaseForm, RegisterForm
from databases.services.provisioning import create_database, register_external
from infrastructure.errors import Problem

ADVANCED = (*LIMITS, "encoding", "locale")


@requires(Action.MANAGE_DATABASES)
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    name = request.GET.get("name", "")[:LONGEST_NAME].rstrip("-")  # made of the deployment's, which may be as long
    initial = {"deployment": request.GET.get("deployment", ""), "name": name}
    form = NewDatabaseForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            made = create_database(by=person_of(request), **form.given())
        except (Problem, ValidationError) as problem:
            about_variable = isinstance(problem, Problem) and problem.id == "database.variable-taken"
            form.take(problem, "variable" if about_variable else None)
        else:
            messages.success(request, f"{made.name} is being made.")
            return redirect("databases:detail", made.pk)
    context = {
        "section": "databases",
        "form": form,
        "advanced": [form[name] for name in ADVANCED],
        "advanced_is_open": bool(form.errors.keys() & set(ADVANCED)),
    }
    return render(request, "databases/new.html", context, status=422 if form.errors else 200)


@requires(Action.MANAGE_DATABASES)
@sensitive_post_parameters("url")
@require_http_methods(["GET", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    initial = {"name": request.GET.get("name", "")}
    form = RegisterForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            made = register_external(data["name"], data["url"], by=person_of(request))
        except (Problem, ValidationError) as problem:
            form.take(problem, "url" if isinstance(problem, Problem) else None)
        else:
            messages.success(request, f"{made.name} is registered. Bakery looks whether it answers.")
            return redirect("databases:detail", made.pk)
    context = {"section": "databases", "form": form}
    return render(request, "databases/register.html", context, status=422 if form.errors else 200)
