from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from deployments.models.deployment import Deployment
from deployments.models.release import Release

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class StreamKind(models.TextChoices):
    BUILD = "build", "Build"
    PROCESS = "process", "Process"
    UPDATE = "update", "Update"
    CERTIFICATE = "certbot", "Certificate"
    DATABASE = "database", "Database"


class LogStreamQuerySet(models.QuerySet["LogStream"]):
    def visible_to(self, user: User | AnonymousUser) -> LogStreamQuerySet:
        return self if user.is_authenticated and user.is_active else self.none()


class LogStream(models.Model):
    """A log: of a release's build, of its process, or of a task of its own: an update of Bakery itself, which
    has no deployment, an order of a certificate, or work on a database. One writer at a time appends chunks to it."""

    kind = models.CharField(max_length=10, choices=StreamKind.choices)
    deployment = models.ForeignKey(
        Deployment, null=True, blank=True, on_delete=models.CASCADE, related_name="log_streams"
    )
    release = models.ForeignKey(Release, null=True, blank=True, on_delete=models.CASCADE, related_name="log_streams")
    task = models.OneToOneField(
        "bakery.Task", null=True, blank=True, on_delete=models.CASCADE, related_name="log_stream"
    )
    # Counters of what was written, with the cut-out middle: the next line's number, the next byte's offset.
    next_seq = models.PositiveBigIntegerField(default=1)
    line_count = models.PositiveBigIntegerField(default=0)
    byte_count = models.PositiveBigIntegerField(default=0)
    # What was cut out between head and tail when the stream outgrew its limit; 0 to 0: nothing.
    cut_first_seq = models.PositiveBigIntegerField(default=0)
    cut_last_seq = models.PositiveBigIntegerField(default=0)
    cut_lines = models.PositiveBigIntegerField(default=0)
    # Where the collector goes on reading after it was restarted: {"file": inode, "offset": …} or {"since": …}.
    cursor = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = LogStreamQuerySet.as_manager()

    class Meta:
        constraints = [
            # One process log per release: a rollback goes on in it.
            models.UniqueConstraint(fields=["release", "kind"], name="one_log_of_each_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} log {self.pk}"


class LogChunk(models.Model):
    """An append-only piece: whole lines, each ended by ``\\n``, masked, without NUL. Lines are counted from 0."""

    stream = models.ForeignKey(LogStream, on_delete=models.CASCADE, related_name="chunks")
    seq = models.PositiveBigIntegerField()
    first_line = models.PositiveBigIntegerField()
    line_count = models.PositiveIntegerField()
    byte_offset = models.PositiveBigIntegerField()
    created_at = models.DateTimeField()
    data = models.TextField()

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["stream", "seq"], name="one_chunk_of_each_seq")]
        indexes = [models.Index(fields=["stream", "first_line"], name="chunk_by_line")]

    def __str__(self) -> str:
        return f"{self.stream_id}#{self.seq}"
