"""The way in: what a view declares, and the only functions that turn an id from a URL into an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from accounts.models import User
from bakery.models import Task
from bakery.roles import Action
from databases.models import Backup, Database
from deployments.models import Deployment, LogStream, Release
from domains.models import Domain

View = TypeVar("View", bound=Callable[..., Any])
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def requires(action: Action, *, to_change: Action | None = None) -> Callable[[View], View]:
    """Declare what a view does. ``to_change`` is what its unsafe methods (POST …) do, where that is something else."""

    def declare(view: View) -> View:
        view.action = action  # type: ignore[attr-defined]
        view.action_to_change = to_change or action  # type: ignore[attr-defined]
        return view

    return declare


def action_of(view: Callable[..., Any], method: str) -> Action | None:
    """What ``view`` declares for this method; None is a view that declares nothing, which nobody may call."""
    action = getattr(view, "action", None)
    if method not in SAFE_METHODS:
        action = getattr(view, "action_to_change", action)
    return action if isinstance(action, Action) else None


def person_of(request: HttpRequest) -> User:
    """Who asks, in a view that nobody reaches without signing in."""
    if not isinstance(request.user, User):  # PermissionMiddleware has seen to that
        raise PermissionDenied("Nobody is signed in.")
    return request.user


def access_deployment(request: HttpRequest, pk: int) -> Deployment:
    found = Deployment.objects.visible_to(request.user).for_list().filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such deployment. It may have been deleted.")
    return found


def access_domain(request: HttpRequest, deployment: Deployment | None, pk: int) -> Domain:
    """A name of this deployment's, or one of Bakery's own."""
    found = Domain.objects.visible_to(request.user).for_list().filter(deployment=deployment, pk=pk).first()
    if found is None:
        raise Http404(f"{deployment or 'Bakery'} has no such name. It may have been removed.")
    return found


def access_database(request: HttpRequest, key: int | str) -> Database:
    """``key`` is its id, or its name as the API has it. Without its secrets."""
    known_by = {"pk": key} if isinstance(key, int) else {"name": key}
    found = Database.objects.visible_to(request.user).for_list().filter(**known_by).first()
    if found is None:
        raise Http404("There is no such database. It may have been dropped.")
    return found


def access_backup(request: HttpRequest, database: Database, pk: int) -> Backup:
    found = Backup.objects.visible_to(request.user).for_list().filter(database=database, pk=pk).first()
    if found is None:
        raise Http404(f"“{database}” has no such backup. It may have been deleted.")
    return found


def access_release(request: HttpRequest, deployment: Deployment, pk: int) -> Release:
    found = Release.objects.visible_to(request.user).for_history().filter(deployment=deployment, pk=pk).first()
    if found is None:
        raise Http404(f"“{deployment}” has no such release.")
    return found


def access_task(request: HttpRequest, pk: int) -> Task:
    found = Task.objects.visible_to(request.user).for_feed().filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such task.")
    return found


def access_stream(request: HttpRequest, pk: int) -> LogStream:
    found = (
        LogStream.objects.visible_to(request.user).select_related("deployment", "release", "task").filter(pk=pk).first()
    )
    if found is None:
        raise Http404("There is no such log. Its release may have been removed.")
    return found
