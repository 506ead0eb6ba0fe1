"""Deployments, releases and tasks as JSON: the API and the commands' ``--json`` give the same shapes. No secrets."""

from __future__ import annotations

from typing import Any

from bakery.models import Task, TaskStep
from databases.services.due import due
from deployments.models import Deployment, Release
from deployments.services.settings import CHANGEABLE, not_live_yet
from deployments.services.snapshot import Snapshot
from deployments.services.status import status_of, url_of


def deployment_shape(deployment: Deployment) -> dict[str, Any]:
    """What a list shows of a deployment."""
    status = status_of(deployment)
    current = deployment.current_release
    return {
        "id": deployment.pk,
        "name": deployment.name,
        "repository": deployment.repository,
        "branch": deployment.branch,
        "url": url_of(deployment),
        "status": {
            "key": status.key,
            "label": status.label,
            "detail": status.detail,
            "seen_at": status.seen_at.isoformat() if status.seen_at else None,
        },
        "release": {"number": current.number, "commit": current.commit_sha} if current else None,
    }


def deployment_detail(deployment: Deployment) -> dict[str, Any]:
    """All of a deployment: its settings, names of env vars, and what waits for the next release."""
    return {
        **deployment_shape(deployment),
        "settings": {name: getattr(deployment, name) for name in sorted(CHANGEABLE)},
        "persistent": [directory.path for directory in deployment.persistent_directories.all()],
        "env": list(deployment.env_vars.values_list("name", flat=True)),
        "domains": [domain.hostname for domain in deployment.domains.all()],
        "databases": {one.variable: one.name for one in Snapshot.of(deployment).databases},
        "not_live_yet": not_live_yet(deployment),
        "due": due(deployment),
    }


def release_shape(release: Release) -> dict[str, Any]:
    return {
        "number": release.number,
        "state": release.state,
        "ref": release.ref,
        "commit": release.commit_sha,
        "subject": release.commit_subject,
        "author": release.commit_author,
        "runtime": release.runtime,
        "error": _error(release),
        "created_at": release.created_at.isoformat(),
        "switched_at": release.switched_at.isoformat() if release.switched_at else None,
    }


def task_shape(task: Task) -> dict[str, Any]:
    return {
        "id": task.pk,
        "kind": task.kind,
        "subject": task.subject,
        "state": task.state,
        "release": task.release.number if task.release else None,
        "requested_by": task.requested_by.email if task.requested_by else None,
        "error": _error(task),
        "created_at": task.created_at.isoformat(),
        "started_at": task.started_at.isoformat() if task.started_at else None,
        "ended_at": task.ended_at.isoformat() if task.ended_at else None,
    }


def _error(row: Release | Task) -> dict[str, str] | None:
    if not row.error_message:
        return None
    return {"id": row.error_id, "message": row.error_message, "hint": row.error_hint}


def step_shape(step: TaskStep) -> dict[str, Any]:
    return {
        "phase": step.phase,
        "argv": step.argv,
        "exit_code": step.exit_code,
        "note": step.note,
        "state": step.state,
        "started_at": step.started_at.isoformat(),
        "ended_at": step.ended_at.isoformat() if step.ended_at else None,
    }
