"""What the buttons do: each asks a service, says what was asked, and goes back to the page."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from bakery.models import Task
from bakery.permissions import access_deployment, access_release, access_task, person_of, requires
from bakery.roles import Action
from deployments.models import Deployment
from deployments.services import requests
from infrastructure.errors import Problem


def _ask(request: HttpRequest, deployment: Deployment, ask: Callable[[], Task], said: str) -> HttpResponse:
    try:
        ask()
    except Problem as problem:
        messages.error(request, f"{problem.message} {problem.hint}".strip())
    else:
        messages.info(request, said)
    return redirect("deployments:detail", deployment.pk)


@requires(Action.DEPLOY)
@require_POST
def deploy(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    ref = request.POST.get("ref", "").strip()
    said = f"Deploying {ref or deployment.branch}."
    return _ask(request, deployment, lambda: requests.deploy(deployment, by=person_of(request), ref=ref), said)


@requires(Action.DEPLOY)
@require_POST
def rollback(request: HttpRequest, pk: int, release_pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    release = access_release(request, deployment, release_pk)
    said = f"Going back to v{release.number}."
    return _ask(request, deployment, lambda: requests.rollback(deployment, by=person_of(request), to=release), said)


@requires(Action.DEPLOY)
@require_POST
def restart(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    return _ask(
        request, deployment, lambda: requests.restart(deployment, by=person_of(request)), f"Restarting {deployment}."
    )


@requires(Action.DEPLOY)
@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    return _ask(
        request, deployment, lambda: requests.stop(deployment, by=person_of(request)), f"Stopping {deployment}."
    )


@requires(Action.DEPLOY)
@require_POST
def start(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    return _ask(
        request, deployment, lambda: requests.start(deployment, by=person_of(request)), f"Starting {deployment}."
    )


@requires(Action.DEPLOY)
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """``pk`` is a task's: what runs is cancelled, not whatever may run by the time the click arrives."""
    task = access_task(request, pk)
    if requests.cancel(task, by=person_of(request)):
        messages.info(request, f"Cancelling “{task}”.")
    else:
        messages.warning(
            request, f"“{task}” cannot be cancelled any more: it has ended, or is past its last safe point."
        )
    if task.database_id:
        return redirect("databases:detail", task.database_id)
    return redirect("deployments:detail", task.deployment_id) if task.deployment_id else redirect("task", task.pk)


@requires(Action.DELETE_DEPLOYMENT)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    deployment = access_deployment(request, pk)
    if request.POST.get("name", "").strip() != deployment.name:
        messages.error(request, f"Nothing was deleted. Type “{deployment.name}” to confirm.")
        return redirect("deployments:settings", deployment.pk)
    said = f"Deleting {deployment} and everything that was made for it."
    keep = "keep_databases" in request.POST
    _ask(request, deployment, lambda: requests.delete(deployment, by=person_of(request), keep_databases=keep), said)
    return redirect("deployments:list")  # its own page is about to go
