"""``/api/databases/…``: restores, clones, backups as files; ``/api/uploads``: dumps that come in pieces."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.cache import add_never_cache_headers

from bakery.api import as_response, body_of, endpoint, refuse_unknown, text
from bakery.permissions import access_backup, access_database, person_of, requires
from bakery.roles import Action
from databases.models import Backup
from databases.services import uploads
from databases.services.cloning import USUAL, clone_database
from databases.services.downloads import open_download
from databases.services.restoring import confirm_restore, request_restore, undo_restore
from deployments.models import Deployment
from deployments.shapes import task_shape
from infrastructure.errors import Problem, Refused

Answer = dict[str, Any] | list[dict[str, Any]] | tuple[int, Any] | None
PIECE = 16 * 1024 * 1024  # what is to be sent at once; Nginx takes up to 32 MiB


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def begin(request: HttpRequest) -> Answer:
    """Begin the upload of a dump: PUT its pieces, then POST to its token."""
    return 201, {"token": uploads.begin_upload(), "size_bytes": 0, "piece_bytes": PIECE}


@requires(Action.MANAGE_DATABASES)
@endpoint("PUT", "POST", "DELETE")
def upload(request: HttpRequest, token: str) -> Answer:
    """PUT ?at=BYTES with the next piece as the body; POST {name} when it is whole; DELETE."""
    if request.method == "PUT":
        return {"token": token, "size_bytes": uploads.add_piece(token, _at(request), request)}  # type: ignore[arg-type]
    if request.method == "DELETE":
        uploads.forget_upload(token)
        return 200, {}
    body = body_of(request)
    refuse_unknown(body, frozenset({"name"}))
    done = uploads.complete_upload(token, text(body, "name"))
    return {"token": done.token, "name": done.name, "size_bytes": done.size_bytes, "format": done.format.value}


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def restore(request: HttpRequest, name: str) -> Answer:
    """From {backup} (an id, of whichever database) or {upload, name}; {backup_first: false}: no backup before."""
    database = access_database(request, name)
    body = body_of(request)
    refuse_unknown(body, frozenset({"backup", "upload", "name", "backup_first"}))
    task = request_restore(
        database,
        backup=_backup(request, body["backup"]) if "backup" in body else None,
        upload=uploads.find_upload(text(body, "upload"), text(body, "name")) if "upload" in body else None,
        by=person_of(request),
        backup_first=body.get("backup_first") is not False,
    )
    return 202, task_shape(task)


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def confirm(request: HttpRequest, name: str) -> Answer:
    """Let the database go that a restore has kept."""
    return 202, task_shape(confirm_restore(access_database(request, name), by=person_of(request)))


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def undo(request: HttpRequest, name: str) -> Answer:
    """Bring the database back that a restore has kept; what was written since is lost."""
    return 202, task_shape(undo_restore(access_database(request, name), by=person_of(request)))


@requires(Action.MANAGE_DATABASES)
@endpoint("POST")
def clone(request: HttpRequest, name: str) -> Answer:
    """{name} of the copy; {deployment} (its name) into whose environment it goes, as {variable}."""
    source = access_database(request, name)
    body = body_of(request)
    refuse_unknown(body, frozenset({"name", "deployment", "variable"}))
    deployment = None
    if wanted := text(body, "deployment"):
        deployment = Deployment.objects.visible_to(request.user).filter(name=wanted).first()
        if deployment is None:
            raise ValidationError({"deployment": "There is no deployment of that name."})
    made = clone_database(
        source,
        name=text(body, "name"),
        by=person_of(request),
        deployment=deployment,
        attach_as=text(body, "variable") or USUAL,
    )
    return 202, {"id": made.pk, "name": made.name, "tasks": [task_shape(task) for task in made.tasks.order_by("pk")]}


@requires(Action.READ_DATABASE_SECRETS)
def backup_file(request: HttpRequest, name: str, pk: int) -> HttpResponse | StreamingHttpResponse:
    """The backup as a file, sealed where it is; who got it is written down."""
    return download(request, access_backup(request, access_database(request, name), pk))


backup_file.methods = ("GET",)  # type: ignore[attr-defined]
backup_file.speaks_json = True  # type: ignore[attr-defined]


def download(request: HttpRequest, backup: Backup) -> HttpResponse | StreamingHttpResponse:
    try:
        if request.method != "GET":
            raise Refused("api.method", f"{request.method} is not understood here.", "Use GET.")
        found = open_download(backup, by=person_of(request))
    except Problem as problem:
        return as_response(problem)
    response = StreamingHttpResponse(found.pieces(), content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{found.name}"'
    response["Content-Length"] = str(found.size_bytes)
    add_never_cache_headers(response)
    return response


def _at(request: HttpRequest) -> int:
    at = request.GET.get("at", "0")
    if not at.isdecimal() or len(at) > 15:
        raise Refused("dump.piece", "“at” is how many bytes come before the piece.")
    return int(at)


def _backup(request: HttpRequest, pk: object) -> Backup:
    found = Backup.objects.visible_to(request.user).filter(pk=pk).first() if isinstance(pk, int) else None
    if found is None:
        raise ValidationError({"backup": "There is no such backup."})
    return found


urlpatterns = [
    path("uploads", begin, name="api-uploads"),
    path("uploads/<str:token>", upload, name="api-upload"),
    path("databases/<str:name>/restore", restore, name="api-database-restore"),
    path("databases/<str:name>/restore/confirm", confirm, name="api-database-restore-confirm"),
    path("databases/<str:name>/restore/undo", undo, name="api-database-restore-undo"),
    path("databases/<str:name>/clone", clone, name="api-database-clone"),
    path("databases/<str:name>/backups/<int:pk>/file", backup_file, name="api-database-backup-file"),
]
