"""Which releases there are to go back to, and which are let go."""

from __future__ import annotations

from deployments.models import Deployment, Release, ReleaseState
from deployments.models.release import ReleaseQuerySet

KEPT = 5  # the live one and four to roll back to
HISTORY = 30  # releases whose rows and build logs stay to be looked at


def can_roll_back_to(deployment: Deployment) -> ReleaseQuerySet:
    """Retained releases, the one that served last first."""
    return deployment.releases.filter(state=ReleaseState.RETAINED).exclude(artifact="").order_by("-switched_at")


def served_before(release: Release) -> Release | None:
    """The release that served before ``release``: still live until the switch was seen to work, retained from then."""
    others = release.deployment.releases.exclude(pk=release.pk)
    live = others.filter(state=ReleaseState.LIVE).first()
    return live or can_roll_back_to(release.deployment).exclude(pk=release.pk).first()


def no_longer_kept(deployment: Deployment) -> list[Release]:
    """Retained releases beyond the five, ended ones that have left the history, and what a killed worker left of
    those that were let go before."""
    surplus = list(can_roll_back_to(deployment)[KEPT - 1 :])
    oldest_shown = deployment.next_release_number - HISTORY
    ended = (ReleaseState.FAILED, ReleaseState.CANCELLED, ReleaseState.SUPERSEDED)
    surplus += deployment.releases.filter(state__in=ended, number__lt=oldest_shown)
    surplus += deployment.releases.filter(state=ReleaseState.PRUNED).exclude(artifact="")
    return surplus
