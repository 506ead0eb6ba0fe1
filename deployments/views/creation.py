from __future__ import annotations

from pathlib import Path

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from bakery.environment import ROOT
from bakery.permissions import person_of, requires
from bakery.roles import Action
from deployments.forms import LIMITS, SWITCH, WEB, NewDeploymentForm
from deployments.services.requests import deploy
from deployments.services.settings import create_deployment
from infrastructure.errors import Problem

TEMPLATES = {"Dockerfile": "Dockerfile.template", "compose.yml": "compose.template.yml"}
TEMPLATE_DIRECTORY = ROOT / "infrastructure" / "docker"
ADVANCED = (*SWITCH, "persistent", *LIMITS, *WEB)


@requires(Action.CREATE_DEPLOYMENT)
@sensitive_post_parameters("env")
def new(request: HttpRequest) -> HttpResponse:
    form = NewDeploymentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            deployment = create_deployment(
                by=person_of(request),
                name=form.cleaned_data["name"],
                env=form.cleaned_data["env"],
                persistent=form.persistent_paths(),
                database=form.cleaned_data["database"],
                **form.changes(),
            )
        except (ValidationError, Problem) as problem:
            form.take(problem)
        else:
            messages.success(request, f"{deployment} is created.")
            if "deploy" in request.POST:
                deploy(deployment, by=person_of(request))
            return redirect("deployments:detail", deployment.pk)
    context = {
        "section": "deployments",
        "form": form,
        "advanced": [form[name] for name in ADVANCED],
        "advanced_is_open": bool(form.errors.keys() & set(ADVANCED)),
        "templates": [(name, _template(name).read_text()) for name in TEMPLATES if _template(name).exists()],
    }
    return render(request, "deployments/new.html", context, status=422 if form.errors else 200)


@requires(Action.CREATE_DEPLOYMENT)
def template(request: HttpRequest, name: str) -> HttpResponse:
    """A Dockerfile or compose file to start from, as a download."""
    if name not in TEMPLATES or not _template(name).exists():
        raise Http404("There is no such template.")
    response = HttpResponse(_template(name).read_text(), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _template(name: str) -> Path:
    return TEMPLATE_DIRECTORY / TEMPLATES[name]
