"""What the buttons about backups do: each asks a service, says what was asked, and goes back to the page."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from bakery.permissions import access_backup, access_database, person_of, requires
from bakery.roles import Action
from databases.backup_forms import CloneForm, DumpForm, RestoreForm
from databases.services import backups as services
from databases.services.cloning import clone_database
from databases.services.restore_tests import request_restore_test
from databases.services.restoring import confirm_restore, request_restore, undo_restore
from databases.services.uploads import find_upload, forget_upload, keep_upload
from databases.views.backups import render_backup, render_backups
from databases.views.page import do
from infrastructure.errors import Problem

LIST = "databases:backups"


@requires(Action.MANAGE_DATABASES)
@require_POST
def make(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    said = f"{database.name} is being backed up."
    return do(request, lambda: services.request_backup(database, by=person_of(request)), said, LIST, pk)


@requires(Action.MANAGE_DATABASES)
@require_POST
def pin(request: HttpRequest, pk: int, backup_pk: int) -> HttpResponse:
    """``pinned=1`` keeps it whatever the plan says; anything else lets go of it."""
    backup = access_backup(request, access_database(request, pk), backup_pk)
    pinned = request.POST.get("pinned") == "1"
    said = "It is kept until somebody unpins it." if pinned else "The plan decides again how long it is kept."
    act = lambda: services.pin_backup(backup, pinned, by=person_of(request))  # noqa: E731
    return do(request, act, said, "databases:backup", pk, backup_pk)


@requires(Action.MANAGE_DATABASES)
@require_POST
def delete(request: HttpRequest, pk: int, backup_pk: int) -> HttpResponse:
    backup = access_backup(request, access_database(request, pk), backup_pk)
    act = lambda: services.delete_backup(backup, by=person_of(request))  # noqa: E731
    return do(request, act, "The backup is being deleted, here and where it was copied to.", LIST, pk)


@requires(Action.MANAGE_DATABASES)
@require_POST
def test(request: HttpRequest, pk: int, backup_pk: int) -> HttpResponse:
    backup = access_backup(request, access_database(request, pk), backup_pk)
    said = "It is restored into a scratch database, and compared."
    act = lambda: request_restore_test(backup, by=person_of(request))  # noqa: E731
    return do(request, act, said, "databases:backup", pk, backup_pk)


@requires(Action.MANAGE_DATABASES)
@require_POST
def fetch(request: HttpRequest, pk: int, backup_pk: int) -> HttpResponse:
    backup = access_backup(request, access_database(request, pk), backup_pk)
    said = "It is fetched back from the storage. When it is here it can be downloaded."
    act = lambda: services.request_fetch(backup, by=person_of(request))  # noqa: E731
    return do(request, act, said, "databases:backup", pk, backup_pk)


@requires(Action.MANAGE_DATABASES)
@require_POST
def restore(request: HttpRequest, pk: int, backup_pk: int) -> HttpResponse:
    """After its name was typed."""
    database = access_database(request, pk)
    backup = access_backup(request, database, backup_pk)
    form = RestoreForm(database.name, request.POST)
    if form.is_valid():
        first = form.cleaned_data["backup_first"]
        try:
            request_restore(database, backup=backup, by=person_of(request), backup_first=first)
        except (Problem, ValidationError) as problem:
            form.take(problem)
        else:
            messages.success(request, f"{database.name} is being restored.")
            return redirect("databases:detail", pk)
    return render_backup(request, pk, backup_pk, 422, restore_form=form)


@requires(Action.MANAGE_DATABASES)
@require_POST
def upload(request: HttpRequest, pk: int) -> HttpResponse:
    """A dump of one's own, restored into this database after its name was typed."""
    database = access_database(request, pk)
    form = DumpForm(database.name, request.POST, request.FILES)
    if form.is_valid():
        data = form.cleaned_data
        try:
            kept = (
                keep_upload(data["dump"], data["dump"].name)
                if data["dump"]
                else find_upload(data["uploaded"], data["uploaded_name"])
            )
            try:
                request_restore(database, upload=kept, by=person_of(request), backup_first=data["backup_first"])
            except BaseException:
                if data["dump"]:  # what came in pieces is worth another try
                    forget_upload(kept.token)
                raise
        except (Problem, ValidationError) as problem:
            form.take(problem, "dump" if isinstance(problem, Problem) and problem.id.startswith("dump.") else None)
        else:
            messages.success(request, f"{kept.name} is being restored into {database.name}.")
            return redirect("databases:detail", pk)
    return render_backups(request, pk, 422, dump_form=form)


@requires(Action.MANAGE_DATABASES)
@require_POST
def confirm(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    said = "The database as it was before the restore is being dropped."
    return do(request, lambda: confirm_restore(database, by=person_of(request)), said, "databases:detail", pk)


@requires(Action.MANAGE_DATABASES)
@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    said = f"{database.name} comes back as it was before the restore."
    return do(request, lambda: undo_restore(database, by=person_of(request)), said, "databases:detail", pk)


@requires(Action.MANAGE_DATABASES)
@require_POST
def clone(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    form = CloneForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = clone_database(database, name=data["name"], by=person_of(request), deployment=data["deployment"])
        except (Problem, ValidationError) as problem:
            form.take(problem)
        else:
            messages.success(request, f"{made.name} is being made as a copy of {database.name}.")
            return redirect("databases:detail", made.pk)
    return render_backups(request, pk, 422, clone_form=form)
