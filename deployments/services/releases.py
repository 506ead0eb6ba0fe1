"""Which releases there are to go back to, and which are let go."""

from __future__ import annotations

from deployments.models import Deployment, Release, ReleaseState
from deployments.models.release import ReleaseQuerySet

KEPT = 5  # the live one and four to roll back to
HISTORY = 30  # releases whose rows and build logs stay to be looked at


def can_roll_back_to(deployment: Deployment) -> ReleaseQuerySet:
    """Retained releases, the one that served last first."""
    return deployment.releases.filter(state=ReleaseState.RETAINED).exclude(artifact="").order_by("-switched_at")  # type: ignore[return-value]


def no_longer_kept(deployment: Deployment) -> list[Release]:
    """Retained releases beyond the five, and ended ones that have left the history."""
    surplus = list(can_roll_back_to(deployment).exclude(pk=deployment.current_release_id)[KEPT - 1 :])
    oldest_shown = deployment.next_release_number - HISTORY
    ended = (ReleaseState.FAILED, ReleaseState.CANCELLED, ReleaseState.SUPERSEDED)
    return surplus + list(deployment.releases.filter(state__in=ended, number__lt=oldest_shown))
