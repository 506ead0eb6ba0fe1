"""What only few may see of a database. Whoever is shown it is written down first."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from bakery.permissions import access_database, person_of, requires
from bakery.roles import Action
from databases.presentation import connection_of
from databases.services.connection import url_of
from databases.services.disclosures import note_disclosure
from databases.services.readers import drop_reader, make_reader
from databases.services.rotation import rotate_password
from databases.views.overview import render_overview
from databases.views.page import do, said_in_one_line
from infrastructure.errors import Problem

CONNECTION_STRING = "the connection string"


@requires(Action.READ_DATABASE_SECRETS)
@never_cache
@require_POST
def reveal(request: HttpRequest, pk: int) -> HttpResponse:
    """The connection string in place of its mask, or with ``?hide=1`` the mask again: a part, never a page."""
    database = access_database(request, pk)
    context: dict[str, object] = {"database": database, "connection": connection_of(database)}
    if not request.GET.get("hide"):
        try:
            context["url"] = url_of(database).reveal()
        except Problem as problem:
            context["refused"] = said_in_one_line(problem)
        else:
            note_disclosure(database, CONNECTION_STRING, to=person_of(request))
    return render(request, "databases/_url.html", context)


@requires(Action.MANAGE_DATABASES)
@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    said = f"{database.name} gets a new password. What uses it is restarted beside itself."
    return do(request, lambda: rotate_password(database, by=person_of(request)), said, "databases:detail", pk)


@requires(Action.READ_DATABASE_SECRETS)
@never_cache
@require_POST
def reader(request: HttpRequest, pk: int) -> HttpResponse:
    """The read-only role's connection string, in the answer to this very request and never again."""
    database = access_database(request, pk)
    try:
        _, url = make_reader(database, by=person_of(request))
    except (Problem, ValidationError) as problem:
        messages.error(request, said_in_one_line(problem))
        return redirect("databases:detail", pk)
    return render_overview(request, pk, reader_url=url.reveal())


@requires(Action.MANAGE_DATABASES)
@require_POST
def end_reader(request: HttpRequest, pk: int) -> HttpResponse:
    database = access_database(request, pk)
    said = "The read-only role is being dropped."
    return do(request, lambda: drop_reader(database, by=person_of(request)), said, "databases:detail", pk)
