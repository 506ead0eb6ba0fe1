"""*Settings → Backup storage*: buckets for copies of backups. Their secret keys are never shown again."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from bakery.pages import render_page
from bakery.permissions import person_of, requires
from bakery.roles import Action
from databases.backup_forms import StorageForm
from databases.models import Storage
from databases.services import storage as services
from databases.views.page import do
from infrastructure.errors import Problem

LIST = "databases:storages"


def visible() -> QuerySet[Storage]:
    copied = Count("backups", filter=~Q(backups__storage_key=""), distinct=True)
    return Storage.objects.annotate(used=Count("plans", distinct=True), copied=copied).order_by("name")


@requires(Action.MANAGE_STORAGE)
@require_safe
def storages(request: HttpRequest) -> HttpResponse:
    return _page(request, StorageForm())


@requires(Action.MANAGE_STORAGE)
@sensitive_post_parameters("secret_key")
@require_POST
def add(request: HttpRequest) -> HttpResponse:
    form = StorageForm(request.POST)
    if form.is_valid() and (made := _save(request, form, None)):
        _have_it_tried(request, made, f"{made.name} is saved.")
        return redirect(LIST)
    return _page(request, form)


@requires(Action.MANAGE_STORAGE)
@sensitive_post_parameters("secret_key")
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    storage = _storage(pk)
    form = StorageForm(request.POST if request.method == "POST" else None, storage=storage)
    if request.method == "POST" and form.is_valid() and (saved := _save(request, form, storage)):
        _have_it_tried(request, saved, f"{saved.name} is saved.")
        return redirect(LIST)
    context = {"section": "settings", "settings_tab": "storage", "storage": storage, "form": form}
    return render(request, "databases/storage.html", context, status=422 if form.errors else 200)


@requires(Action.MANAGE_STORAGE)
@require_POST
def check(request: HttpRequest, pk: int) -> HttpResponse:
    _have_it_tried(request, _storage(pk))
    return redirect(LIST)


@requires(Action.MANAGE_STORAGE)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    storage = _storage(pk)
    said = f"{storage.name} is removed. What is in the bucket stays there."
    return do(request, lambda: services.delete_storage(storage, by=person_of(request)), said, LIST)


def _save(request: HttpRequest, form: StorageForm, storage: Storage | None) -> Storage | None:
    """None where the service refused it: that stands in the form."""
    try:
        return services.save_storage(storage, by=person_of(request), **form.cleaned_data)
    except (Problem, ValidationError) as problem:
        form.take(problem)
        return None


def _have_it_tried(request: HttpRequest, storage: Storage, said: str = "") -> None:
    """Whoever types a key wants to know now; but this process has nothing that speaks to a storage."""
    services.request_check(storage)
    messages.success(request, f"{said} A worker writes, reads and deletes a small object: see its state.".strip())


def _page(request: HttpRequest, form: StorageForm) -> HttpResponse:
    context = {
        "section": "settings",
        "settings_tab": "storage",
        "storages": visible().defer("secret_key"),
        "form": form,
    }
    parts = {"storages": "databases/_storages.html"}
    return render_page(request, "databases/storages.html", context, parts, 422 if form.errors else 200)


def _storage(pk: int) -> Storage:
    found = visible().filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such storage.")
    return found
