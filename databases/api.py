"""``/api/databases``. What takes time answers 202 with its task."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest
from django.urls import path

from bakery.api import body_of, endpoint, flag, refuse_unknown, rows_wanted, text, text_list
from bakery.permissions import access_database, person_of, requires
from bakery.roles import Action
from databases import api_backups
from databases.models import Database
from databases.services.dropping import drop_database
from databases.services.overview import overviews
from databases.services.provisioning import AT_BIRTH, LIMITS, change_database, create_database, register_external
from databases.shapes import database_detail, database_shape
from deployments.models import Deployment
from deployments.shapes import task_shape

Answer = dict[str, Any] | list[dict[str, Any]] | tuple[int, Any] | None


@requires(Action.VIEW, to_change=Action.MANAGE_DATABASES)
@endpoint("GET", "POST")
def databases(request: HttpRequest) -> Answer:
    """All databases (?limit=); POST {name, deployment, variable, pg_variables, extensions, encoding, locale, any limit}
    makes one, POST {name, url} registers one elsewhere."""
    if request.method == "POST":
        return _make(request)
    found = Database.objects.visible_to(request.user).for_list()[: rows_wanted(request)]
    return [database_shape(row) for row in overviews(found)]


def _make(request: HttpRequest) -> Answer:
    body, person = body_of(request), person_of(request)
    if "url" in body:
        refuse_unknown(body, frozenset({"name", "url"}))
        made = register_external(text(body, "name"), text(body, "url"), by=person)
        return 202, task_shape(made.tasks.latest("pk"))
    words = frozenset({"name", "deployment", "variable", "extensions"})
    refuse_unknown(body, AT_BIRTH | words | {"pg_variables"})
    deployment = None
    if called := text(body, "deployment"):
        deployment = Deployment.objects.visible_to(person).filter(name=called).first()
        if deployment is None:
            raise Http404(f"There is no deployment called {called}.")
    settings = {name: body[name] for name in LIMITS if name in body}
    settings.update({name: text(body, name) for name in AT_BIRTH - LIMITS if name in body})
    made = create_database(
        text(body, "name"),
        by=person,
        deployment=deployment,
        attach_as=(text(body, "variable") or "DATABASE_URL") if deployment else None,
        pg_variables=flag(body, "pg_variables"),
        extensions=text_list(body, "extensions"),
        **settings,
    )
    return 202, task_shape(made.tasks.latest("pk"))


@requires(Action.VIEW, to_change=Action.MANAGE_DATABASES)
@endpoint("GET", "PATCH", "DELETE")
def database(request: HttpRequest, name: str) -> Answer:
    """One database with its settings, its plan of backups and its newest figures; PATCH {extensions, any limit};
    DELETE {confirm: its name, backup: false} drops it, after a last backup unless told otherwise."""
    found = access_database(request, name)
    if request.method == "GET":
        return database_detail(overviews([found])[0])
    body = body_of(request)
    if request.method == "PATCH":
        refuse_unknown(body, LIMITS | {"extensions"})
        extensions = text_list(body, "extensions") if "extensions" in body else None
        settings = {key: body[key] for key in LIMITS if key in body}
        return 202, task_shape(change_database(found, by=person_of(request), extensions=extensions, **settings))
    refuse_unknown(body, frozenset({"confirm", "backup"}))
    if text(body, "confirm") != found.name:
        raise ValidationError({"confirm": f"Say {found.name}: all that is in it goes."})
    backup_first = flag(body, "backup") if "backup" in body else True
    return 202, task_shape(drop_database(found, by=person_of(request), backup_first=backup_first))


urlpatterns = [
    path("databases", databases, name="api-databases"),
    path("databases/<str:name>", database, name="api-database"),
    *api_backups.urlpatterns,
]
