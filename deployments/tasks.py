"""Celery's side: load by id, call the service."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="deployments.tasks.work")
def work(deployment_id: int) -> None:
    """Somebody asked something of this deployment."""
    from deployments.services.work import work as do

    do(deployment_id, _is_stopping)


def _is_stopping() -> bool:
    """Whether this worker was told to end: its exit code is set then, which may be 0."""
    from celery.worker import state

    code: int | bool | None = state.should_stop
    return code is not None and code is not False


@shared_task(name="deployments.tasks.reap")
def reap() -> None:
    """Wake workers for what was left behind, and mend routes."""
    from deployments.services.reaper import misrouted
    from deployments.services.reaper import reap as do

    do()
    misrouted()


@shared_task(name="deployments.tasks.trim_build_cache")
def trim_build_cache() -> None:
    """Keep what builds left behind under its budget. In the workers that build: they have loaded Docker's SDK."""
    from deployments.services.build_cache import trim

    trim()
