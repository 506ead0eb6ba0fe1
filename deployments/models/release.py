from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from bakery.encryption import EncryptedField
from deployments.models.deployment import Deployment, Runtime, Slot

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class ReleaseState(models.TextChoices):
    QUEUED = "queued", "Queued"
    FETCHING = "fetching", "Fetching"
    BUILDING = "building", "Building"
    STARTING = "starting", "Starting"
    PROBING = "probing", "Probing"
    SWITCHING = "switching", "Switching"
    DRAINING = "draining", "Draining"  # it serves; the one before it finishes its requests
    LIVE = "live", "Live"
    RETAINED = "retained", "Retained"
    PRUNED = "pruned", "Pruned"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    SUPERSEDED = "superseded", "Superseded"


S = ReleaseState
_ENDS = {S.FAILED, S.CANCELLED, S.SUPERSEDED}
# An activation of a retained release (rollback) that does not succeed leaves it retained.
_BACK = {S.RETAINED}

# The only changes of state there are. ``Release.objects.move`` is the only way to make one.
TRANSITIONS: dict[ReleaseState, frozenset[ReleaseState]] = {
    S.QUEUED: frozenset({S.FETCHING, S.STARTING} | _ENDS | _BACK),
    S.FETCHING: frozenset({S.BUILDING} | _ENDS),
    S.BUILDING: frozenset({S.STARTING} | _ENDS),
    S.STARTING: frozenset({S.PROBING} | _ENDS | _BACK),
    S.PROBING: frozenset({S.SWITCHING} | _ENDS | _BACK),
    S.SWITCHING: frozenset({S.DRAINING, S.FAILED} | _BACK),
    S.DRAINING: frozenset({S.LIVE, S.FAILED} | _BACK),
    S.LIVE: frozenset({S.RETAINED}),
    S.RETAINED: frozenset({S.QUEUED, S.PRUNED, S.LIVE}),  # LIVE: the release that replaced it was reverted
    S.PRUNED: frozenset(),
    S.FAILED: frozenset({S.PRUNED}),
    S.CANCELLED: frozenset({S.PRUNED}),
    S.SUPERSEDED: frozenset({S.PRUNED}),
}
# Some worker's hands are on it. One per deployment: a partial unique index, not a check.
ACTIVE_STATES = (S.FETCHING, S.BUILDING, S.STARTING, S.PROBING, S.SWITCHING, S.DRAINING)
# The host serves it, or may already.
SERVING_STATES = (S.SWITCHING, S.DRAINING, S.LIVE)


class ReleaseQuerySet(models.QuerySet["Release"]):
    def visible_to(self, user: User | AnonymousUser) -> ReleaseQuerySet:
        return self if user.is_authenticated and user.is_active else self.none()

    def for_history(self) -> ReleaseQuerySet:
        return self.select_related("slot", "created_by").defer("snapshot").order_by("-number")

    def telling(self) -> ReleaseQuerySet:
        """What a deployment's status depends on, apart from the release that serves: the newest first."""
        states = (*ACTIVE_STATES, S.QUEUED, S.FAILED)
        return self.filter(state__in=states).defer("snapshot").order_by("-number")

    def move(self, pk: int, source: ReleaseState, target: ReleaseState, **changes: object) -> bool:
        """Change the state if it is still ``source``; False when somebody else was first."""
        if target not in TRANSITIONS[source]:
            raise ValueError(f"No release goes from {source} to {target}.")
        return self.filter(pk=pk, state=source).update(state=target, **changes) == 1


class Release(models.Model):
    """One immutable version of a Deployment. After its creation only ``state``, ``slot`` and what the engine finds
    out (commit, runtime, artifact, error, times) change."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="releases")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=12, choices=ReleaseState.choices, default=ReleaseState.QUEUED)
    ref = models.CharField(max_length=200, help_text="The branch, tag or SHA that was asked for.")
    commit_sha = models.CharField(max_length=40, blank=True)
    commit_subject = models.CharField(max_length=300, blank=True)
    commit_author = models.CharField(max_length=200, blank=True)
    runtime = models.CharField(max_length=10, choices=Runtime.choices, blank=True)
    # Image id (sha256:…) or directory. Releases of the same commit and build settings share one.
    artifact = models.CharField(max_length=500, blank=True)
    artifact_key = models.CharField(max_length=64, blank=True, db_index=True)
    container_port = models.PositiveIntegerField(null=True, blank=True)
    slot = models.ForeignKey(Slot, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    # JSON of deployments.services.snapshot.Snapshot: every setting and env var that it builds and runs with.
    snapshot = EncryptedField()
    error_id = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    error_hint = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    switched_at = models.DateTimeField(null=True, blank=True, help_text="When it was first seen to serve.")
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["deployment", "number"], name="one_release_of_each_number"),
            models.UniqueConstraint(
                fields=["deployment"],
                condition=Q(state__in=[s.value for s in ACTIVE_STATES]),
                name="one_active_release",
            ),
            models.UniqueConstraint(fields=["deployment"], condition=Q(state="queued"), name="one_queued_release"),
            models.UniqueConstraint(fields=["deployment"], condition=Q(state="live"), name="one_live_release"),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"

    @property
    def serves(self) -> bool:
        """Whether requests are sent to it, or are about to be."""
        return self.state in SERVING_STATES
