from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from bakery.pages import render_page
from bakery.permissions import person_of, requires
from bakery.roles import Action
from databases.services.leaving import databases_to_drop
from deployments.forms import LIMITS, RUNTIME, SOURCE, SWITCH, WEB, SettingsForm
from deployments.services.settings import update_deployment
from deployments.views.detail import HEAD, WORK, page_of
from infrastructure.errors import Problem

GROUPS = (
    ("Repository", "Where the code comes from.", SOURCE),
    ("Runtime", "How it is built and started.", RUNTIME),
    ("Release", "How a new release takes over from the old one.", SWITCH),
    ("Persistent directories", "Files that outlive releases: uploads, SQLite databases.", ("persistent",)),
    ("Limits", "What the app and its builds may use of the host.", LIMITS),
    ("Web server", "What Nginx allows.", WEB),
)
WIDE = frozenset({"repository", "blue_green", "one_writer", "pre_deploy_command", "persistent", "runtime"})


@requires(Action.VIEW, to_change=Action.CONFIGURE)
@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest, pk: int) -> HttpResponse:
    deployment, context = page_of(request, pk, "settings")
    form = SettingsForm(request.POST if request.method == "POST" else None, instance=deployment)
    if request.method == "POST" and form.is_valid():
        try:
            update_deployment(deployment, by=person_of(request), persistent=form.persistent_paths(), **form.changes())
        except (ValidationError, Problem) as problem:
            form.take(problem)
        else:
            messages.success(request, "The settings are saved. They are live with the next release.")
            return redirect("deployments:settings", pk)
    if not person_of(request).may(Action.CONFIGURE):
        for field in form.fields.values():
            field.disabled = True
    changed = {name.replace(" ", "_") for name in context["changed"]}
    if "persistent_directories" in changed:
        changed.add("persistent")
    context |= {
        "form": form,
        "going": databases_to_drop(deployment),
        "groups": [
            (title, text, [(form[name], name in WIDE, name in changed) for name in names])
            for title, text, names in GROUPS
        ],
    }
    status = 422 if form.errors else 200
    return render_page(request, "deployments/settings.html", context, {"head": HEAD, "work": WORK}, status)
