"""``/api/deployments`` and ``/api/tasks``. What takes time answers 202 with its task; look at that until it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import path

from bakery.api import body_of, endpoint, flag, refuse_unknown, rows_wanted, text, text_list, text_map
from bakery.models import Task
from bakery.permissions import access_deployment, access_task, person_of, requires
from bakery.roles import Action
from deployments.models import Deployment
from deployments.services import requests
from deployments.services.env import set_env, unset_env
from deployments.services.settings import CHANGEABLE, create_deployment, update_deployment
from deployments.shapes import deployment_detail, deployment_shape, release_shape, step_shape, task_shape
from infrastructure.errors import Problem

Answer = dict[str, Any] | list[dict[str, Any]] | tuple[int, dict[str, Any]]


@requires(Action.VIEW, to_change=Action.CREATE_DEPLOYMENT)
@endpoint("GET", "POST")
def deployments(request: HttpRequest) -> Answer:
    """All deployments; POST {name, repository, env, persistent, database, any setting} makes one."""
    if request.method == "GET":
        return [deployment_shape(found) for found in Deployment.objects.visible_to(person_of(request)).for_list()]
    body = body_of(request)
    refuse_unknown(body, CHANGEABLE | {"name", "repository", "env", "persistent", "database"})
    settings = {name: value for name, value in body.items() if name in CHANGEABLE - {"repository"}}
    made = create_deployment(
        by=person_of(request),
        name=text(body, "name"),
        repository=text(body, "repository"),
        env=text_map(body, "env"),
        persistent=text_list(body, "persistent"),
        database=flag(body, "database"),
        **settings,
    )
    return 201, deployment_detail(made)


@requires(Action.VIEW, to_change=Action.CONFIGURE)
@endpoint("GET", "PATCH")
def deployment(request: HttpRequest, pk: int) -> Answer:
    """One deployment with its settings; PATCH {persistent, any setting} changes them for the next release."""
    found = access_deployment(request, pk)
    if request.method == "PATCH":
        body = body_of(request)
        refuse_unknown(body, CHANGEABLE | {"persistent"})
        persistent = text_list(body, "persistent") if "persistent" in body else None
        settings = {name: value for name, value in body.items() if name in CHANGEABLE}
        update_deployment(found, by=person_of(request), persistent=persistent, **settings)
        found = access_deployment(request, pk)
    return deployment_detail(found)


@requires(Action.VIEW)
@endpoint("GET")
def status(request: HttpRequest, pk: int) -> Answer:
    """What is live and when it was last seen."""
    return deployment_shape(access_deployment(request, pk))


@requires(Action.VIEW)
@endpoint("GET")
def releases(request: HttpRequest, pk: int) -> Answer:
    """Its releases, the newest first (?limit=)."""
    return [
        release_shape(found) for found in access_deployment(request, pk).releases.for_history()[: rows_wanted(request)]
    ]


@requires(Action.VIEW)
@endpoint("GET")
def deployment_tasks(request: HttpRequest, pk: int) -> Answer:
    """What was asked of it, the newest first (?limit=)."""
    found = access_deployment(request, pk)
    return [task_shape(task) for task in Task.objects.for_feed().filter(deployment=found)[: rows_wanted(request)]]


@requires(Action.EDIT_ENV)
@endpoint("GET", "POST")
def env(request: HttpRequest, pk: int) -> Answer:
    """Names of its environment variables, never values; POST {set: {K: V}, unset: [K], build_time, run_time}."""
    found = access_deployment(request, pk)
    if request.method == "POST":
        body = body_of(request)
        refuse_unknown(body, frozenset({"set", "unset", "build_time", "run_time"}))
        flags = {name: bool(body.get(name, True)) for name in ("build_time", "run_time")}
        names = text_list(body, "unset")
        if values := text_map(body, "set"):
            set_env(found, by=person_of(request), values=values, **flags)
        if names:
            unset_env(found, by=person_of(request), names=names)
    rows = found.env_vars.values("name", "build_time", "run_time", "updated_at")
    return [{**row, "updated_at": row["updated_at"].isoformat()} for row in rows]


@requires(Action.DEPLOY)
@endpoint("POST")
def deploy(request: HttpRequest, pk: int) -> Answer:
    """Deploy its branch, or {ref}: a branch, a tag, a commit."""
    body = body_of(request)
    refuse_unknown(body, frozenset({"ref"}))
    return 202, task_shape(
        requests.deploy(access_deployment(request, pk), by=person_of(request), ref=text(body, "ref"))
    )


@requires(Action.DEPLOY)
@endpoint("POST")
def rollback(request: HttpRequest, pk: int) -> Answer:
    """Make the release before live again, or {to}: a release's number."""
    found = access_deployment(request, pk)
    body = body_of(request)
    refuse_unknown(body, frozenset({"to"}))
    to = None
    if (number := body.get("to")) is not None:
        to = found.releases.filter(number=number).first() if isinstance(number, int) else None
        if to is None:
            raise Problem("release.unknown", f"{found.name} has no release {number}.", "GET …/releases lists them.")
    return 202, task_shape(requests.rollback(found, by=person_of(request), to=to))


def _asks(verb: Callable[..., Task], action: Action, summary: str) -> Callable[..., Any]:
    def ask(request: HttpRequest, pk: int) -> Answer:
        return 202, task_shape(verb(access_deployment(request, pk), by=person_of(request)))

    ask.__doc__ = summary
    return requires(action)(endpoint("POST")(ask))


restart = _asks(requests.restart, Action.DEPLOY, "Restart its live release.")
stop = _asks(requests.stop, Action.DEPLOY, "Stop it.")
start = _asks(requests.start, Action.DEPLOY, "Start it again.")


@requires(Action.DELETE_DEPLOYMENT)
@endpoint("POST")
def delete(request: HttpRequest, pk: int) -> Answer:
    """Delete it with everything that was made for it; {keep_databases: true} leaves its databases."""
    body = body_of(request)
    refuse_unknown(body, frozenset({"keep_databases"}))
    keep = flag(body, "keep_databases")
    return 202, task_shape(requests.delete(access_deployment(request, pk), by=person_of(request), keep_databases=keep))


@requires(Action.VIEW)
@endpoint("GET")
def tasks(request: HttpRequest) -> Answer:
    """The activity feed, the newest first (?limit=)."""
    return [task_shape(task) for task in Task.objects.visible_to(person_of(request)).for_feed()[: rows_wanted(request)]]


@requires(Action.VIEW)
@endpoint("GET")
def task(request: HttpRequest, pk: int) -> Answer:
    """One task with its steps."""
    found = access_task(request, pk)
    return {**task_shape(found), "steps": [step_shape(step) for step in found.steps.all()]}


@requires(Action.DEPLOY)
@endpoint("POST")
def cancel(request: HttpRequest, pk: int) -> Answer:
    """Ask a task to end."""
    found = access_task(request, pk)
    if not requests.cancel(found, by=person_of(request)):
        raise Problem("cancel.too-late", f"It is too late to cancel “{found}”.", "Roll back when it is done.")
    return 202, task_shape(access_task(request, pk))


urlpatterns = [
    path("deployments", deployments, name="api-deployments"),
    path("deployments/<int:pk>", deployment, name="api-deployment"),
    path("deployments/<int:pk>/status", status, name="api-status"),
    path("deployments/<int:pk>/releases", releases, name="api-releases"),
    path("deployments/<int:pk>/tasks", deployment_tasks, name="api-deployment-tasks"),
    path("deployments/<int:pk>/env", env, name="api-env"),
    path("deployments/<int:pk>/deploy", deploy, name="api-deploy"),
    path("deployments/<int:pk>/rollback", rollback, name="api-rollback"),
    path("deployments/<int:pk>/restart", restart, name="api-restart"),
    path("deployments/<int:pk>/stop", stop, name="api-stop"),
    path("deployments/<int:pk>/start", start, name="api-start"),
    path("deployments/<int:pk>/delete", delete, name="api-delete"),
    path("tasks", tasks, name="api-tasks"),
    path("tasks/<int:pk>", task, name="api-task"),
    path("tasks/<int:pk>/cancel", cancel, name="api-cancel"),
]
