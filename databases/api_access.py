"""``/api/databases/…``: who gets in, and how."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.urls import path

from bakery.api import body_of, endpoint, flag, refuse_unknown, text
from bakery.permissions import access_database, person_of, requires
from bakery.roles import Action
from databases.services.attaching import attach, detach
from databases.services.connection import url_of
from databases.services.disclosures import note_disclosure
from databases.services.provisioning import check_external
from databases.services.readers import drop_reader, make_reader
from databases.services.rotation import rotate_password
from deployments.models import Deployment
from deployments.shapes import task_shape

Answer = dict[str, Any] | tuple[int, Any] | None


@requires(Action.READ_DATABASE_SECRETS)
@endpoint("POST")
def reveal(request: HttpRequest, name: str) -> Answer:
    """Its connection string. Who was shown it is written down."""
    found = access_database(request, name)
    url = url_of(found).reveal()
    note_disclosure(found, "the connection string", to=person_of(request))
    return {"url": url}


@requires(Action.READ_DATABASE_SECRETS)
@endpoint("POST", "DELETE")
def reader(request: HttpRequest, name: str) -> Answer:
    """The read-only role for people: POST makes it, or gives it a new password, and shows its address this once."""
    found = access_database(request, name)
    if request.method == "DELETE":
        return 202, task_shape(drop_reader(found, by=person_of(request)))
    task, url = make_reader(found, by=person_of(request))
    return 202, {"url": url.reveal(), "task": task_shape(task)}


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def rotate(request: HttpRequest, name: str) -> Answer:
    """Change its password with no downtime: what runs with it is restarted."""
    return 202, task_shape(rotate_password(access_database(request, name), by=person_of(request)))


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def check(request: HttpRequest, name: str) -> Answer:
    """Look whether a database elsewhere answers."""
    return 202, task_shape(check_external(access_database(request, name), by=person_of(request)))


@requires(Action.MANAGE_DATABASES)
@endpoint("POST", "DELETE")
def attachments(request: HttpRequest, name: str) -> Answer:
    """Put it in {deployment}'s environment as {variable} (DATABASE_URL), {pg_variables}; DELETE takes it out."""
    found, body = access_database(request, name), body_of(request)
    refuse_unknown(body, frozenset({"deployment", "variable", "pg_variables"}))
    called, variable = text(body, "deployment"), text(body, "variable") or "DATABASE_URL"
    deployment = Deployment.objects.visible_to(person_of(request)).filter(name=called).first()
    if deployment is None:
        raise Http404(f"There is no deployment called {called}.")
    if request.method == "POST":
        said = flag(body, "pg_variables")
        made = attach(found, deployment, by=person_of(request), variable=variable, pg_variables=said)
        return 201, {"deployment": called, "variable": made.variable, "pg_variables": made.pg_variables}
    attachment = deployment.attachments.filter(database=found, variable=variable).first()
    if attachment is None:
        raise Http404(f"{called} does not have {found.name} in {variable}.")
    detach(attachment, by=person_of(request))
    return None


urlpatterns = [
    path("databases/<str:name>/reveal", reveal, name="api-database-reveal"),
    path("databases/<str:name>/reader", reader, name="api-database-reader"),
    path("databases/<str:name>/rotate-password", rotate, name="api-database-rotate"),
    path("databases/<str:name>/check", check, name="api-database-check"),
    path("databases/<str:name>/attachments", attachments, name="api-database-attachments"),
]
