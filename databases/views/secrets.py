"""What only few may see of a database. Whoever is shown it is written down first."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from bakery.permissions import access_database, person_of, requires
from bakery.roles import Action
from databases.models import Database, Disclosure
from databases.services.connection import url_of
from databases.views.page import said_in_one_line
from infrastructure.errors import Problem

CONNECTION_STRING = "the connection string"


@requires(Action.READ_DATABASE_SECRETS)
@never_cache
@require_POST
def reveal(request: HttpRequest, pk: int) -> HttpResponse:
    """The connection string in place of its mask, or with ``?hide=1`` the mask again: a part, never a page."""
    database = access_database(request, pk)
    context: dict[str, object] = {"database": database}
    if not request.GET.get("hide"):
        try:
            context["url"] = url_of(database).reveal()
        except Problem as problem:
            context["refused"] = said_in_one_line(problem)
        else:
            note(database, request, CONNECTION_STRING)
    return render(request, "databases/_url.html", context)


def note(database: Database, request: HttpRequest, what: str) -> None:
    Disclosure.objects.create(database=database, subject=database.name, what=what, shown_to=person_of(request))
