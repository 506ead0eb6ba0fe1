"""What is said of a deployment: an observation with a time, from the database alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from deployments.models import Deployment, Release, ReleaseState
from infrastructure.runtime import ProcessState

LABELS = {
    "live": "Live",
    "deploying": "Deploying",
    "stopped": "Stopped",
    "crashed": "Crashed",
    "failed": "First deploy failed",
    "never": "Not deployed yet",
    "deleting": "Being deleted",
}


@dataclass(frozen=True)
class Status:
    key: str  # of LABELS
    label: str
    seen_at: datetime | None  # when the process was last looked at
    detail: str = ""


def status_of(deployment: Deployment) -> Status:
    """Reads ``current_release.slot`` and the deployment's releases: ``for_list()`` brings what it needs."""
    current = deployment.current_release
    slot = current.slot if current else None
    seen = slot.observed_at if slot else None

    def status(key: str, detail: str = "") -> Status:
        return Status(key, LABELS[key], seen, detail)

    if deployment.deleting:
        return status("deleting")
    telling: list[Release] = _telling(deployment)
    pending = [release for release in telling if release.state != ReleaseState.FAILED]
    if pending:
        return status("deploying", f"v{pending[0].number}: {pending[0].get_state_display().lower()}")
    if deployment.stopped:
        return status("stopped")
    if current is None:
        return status("failed", telling[0].error_message) if telling else status("never")
    if slot and slot.observed_state in (ProcessState.EXITED.value, ProcessState.MISSING.value):
        return status("crashed", f"v{current.number} is not running")
    return status("live", f"v{current.number}")


def url_of(deployment: Deployment) -> str:
    """Where the application answers: its primary name, over HTTPS as soon as a certificate covers it."""
    names = [domain for domain in deployment.domains.all() if not domain.is_wildcard]
    if not names:
        return ""
    hostname = names[0].hostname  # the primary one is the first: see Domain.Meta
    certificate = getattr(deployment, "certificate", None)
    secure = bool(certificate and certificate.covers(hostname))
    port = settings.BAKERY.https_port if secure else settings.BAKERY.http_port
    usual = 443 if secure else 80
    return f"http{'s' if secure else ''}://{hostname}" + ("" if port == usual else f":{port}") + "/"


def _telling(deployment: Deployment) -> list[Release]:
    """As prefetched by ``for_list()``, else asked for."""
    found: list[Release] | None = getattr(deployment, "telling_releases", None)
    return list(Release.objects.filter(deployment=deployment).telling()[:5]) if found is None else found


def with_status(deployments: Iterable[Deployment]) -> list[Deployment]:
    """The deployments as a list, each with ``status`` and ``url`` for a page; they come from ``for_list()``."""
    found = list(deployments)
    for deployment in found:
        deployment.status = status_of(deployment)  # type: ignore[attr-defined]
        deployment.url = url_of(deployment)  # type: ignore[attr-defined]
    return found
