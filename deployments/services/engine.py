"""What each kind of task does, as a story. Read this first."""

from __future__ import annotations

from collections.abc import Callable

from bakery.models import TaskKind
from deployments.models import ReleaseState
from deployments.services.activation import activate
from deployments.services.job import Job
from deployments.services.operations import apply_routes, delete, restart, start, stop
from deployments.services.preparation import build, fetch
from deployments.services.pruning import prune


def deploy(job: Job) -> None:
    """fetch → build → start in the idle slot → probe → switch → verify → drain → retire"""
    if job.release.state in BEFORE_START:
        fetch(job)
        build(job)
    activate(job)
    prune(job)


def rollback(job: Job) -> None:
    """The same activation, of a release that is there already: no git, no build."""
    activate(job)
    prune(job)


BEFORE_START = (ReleaseState.FETCHING, ReleaseState.BUILDING)

STORIES: dict[str, Callable[[Job], None]] = {
    TaskKind.DEPLOY: deploy,
    TaskKind.ROLLBACK: rollback,
    TaskKind.RESTART: restart,
    TaskKind.STOP: stop,
    TaskKind.START: start,
    TaskKind.DELETE: delete,
    TaskKind.APPLY_ROUTES: apply_routes,
}
