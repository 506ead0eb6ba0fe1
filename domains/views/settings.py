"""What is asked for at one name besides being routed."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from bakery.models import TaskKind
from bakery.pages import render_page
from bakery.permissions import access_domain, person_of
from domains.forms import NameSettingsForm
from domains.presentation import Name, https_of
from domains.services.names import change_domain
from domains.views.place import Place
from infrastructure.errors import Problem

GROUPS = (
    ("HTTPS", "What browsers remember.", ("hsts_seconds",)),
    ("Who may come", "Asked by Nginx, before the app hears of it.", ("auth_user", "auth_password", "allowed_networks")),
    ("Requests", "What Nginx allows.", ("max_body_mb",)),
    ("Answers", "What Nginx adds, or says instead of the app.", ("headers", "maintenance")),
)
WIDE = frozenset({"allowed_networks", "headers", "maintenance", "hsts_seconds"})


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("auth_password")
def name(request: HttpRequest, place: Place, domain_pk: int) -> HttpResponse:
    domain = access_domain(request, place.deployment, domain_pk)
    form = NameSettingsForm(domain, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            change_domain(domain, by=person_of(request), **form.changes())
        except (ValidationError, Problem) as problem:
            form.take(problem)
        else:
            messages.success(request, "The settings are saved. Nginx has them in a moment.")
            return redirect(place.url("name", domain.pk))
    context = place.context(request)
    if not context["may_change"]:
        for field in form.fields.values():
            field.disabled = True
    context |= {
        "name": Name(domain, https_of(domain, place.certificate(request))),
        "form": form,
        "applying": any(item["task"].kind == TaskKind.APPLY_ROUTES for item in context.get("work", ())),
        "groups": [(title, text, [(form[each], each in WIDE) for each in fields]) for title, text, fields in GROUPS],
    }
    parts = {"head": "deployments/_head.html", "work": "deployments/_work.html"} if place.deployment else {}
    base = "deployments/base.html" if place.deployment else "settings/base.html"
    return render_page(request, "domains/name.html", {**context, "base": base}, parts, 422 if form.errors else 200)
