from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.validators import MaxValueValidator
from django.db import models

from bakery.encryption import EncryptedField
from databases.models.database import Database

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class BackupState(models.TextChoices):
    RUNNING = "running", "Being made"
    GOOD = "good", "Good"  # whole, checksummed, and pg_restore lists it
    FAILED = "failed", "Failed"
    DELETING = "deleting", "Being deleted"  # its files, here and in the storage; then the row


class BackupReason(models.TextChoices):
    ASKED = "asked", "Asked for"
    SCHEDULE = "schedule", "By schedule"
    DEPLOY = "deploy", "Before a deploy"
    DROP = "drop", "Before it was dropped"
    RESTORE = "restore", "Before a restore"


class Storage(models.Model):
    """A bucket that speaks S3, for copies of backups."""

    name = models.CharField(max_length=60, unique=True)
    endpoint = models.CharField(max_length=300, help_text="https://s3.eu-central-1.amazonaws.com, or a server's own.")
    region = models.CharField(max_length=60, blank=True)
    bucket = models.CharField(max_length=63)
    prefix = models.CharField(max_length=200, blank=True)
    access_key = models.CharField(max_length=200)
    secret_key = EncryptedField()
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    problem = models.TextField(blank=True, editable=False, help_text="What the last look at it found wrong, in words.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class BackupPlan(models.Model):
    """When a database is backed up by itself, where to, and what is kept."""

    database = models.OneToOneField(Database, on_delete=models.CASCADE, related_name="plan")
    schedule = models.ForeignKey(
        "django_celery_beat.CrontabSchedule", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    before_deploys = models.BooleanField(default=False, help_text="Also before a release's pre-deploy command.")
    keep_last = models.PositiveIntegerField(default=7, validators=[MaxValueValidator(1000)])
    keep_daily = models.PositiveIntegerField(default=7, validators=[MaxValueValidator(1000)])
    keep_weekly = models.PositiveIntegerField(default=4, validators=[MaxValueValidator(1000)])
    keep_monthly = models.PositiveIntegerField(default=6, validators=[MaxValueValidator(1000)])
    storage = models.ForeignKey(Storage, null=True, blank=True, on_delete=models.PROTECT, related_name="plans")
    passphrase = EncryptedField(blank=True, help_text="With which backups are sealed; empty: they are not.")
    test_every_days = models.PositiveIntegerField(
        default=7, validators=[MaxValueValidator(365)], help_text="How often one is restored to try it; 0: never."
    )
    asked_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When the schedule last asked.")
    since = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Backups of {self.database}"


class BackupQuerySet(models.QuerySet["Backup"]):
    def visible_to(self, user: User | AnonymousUser) -> BackupQuerySet:
        return self if user.is_authenticated and user.is_active else self.none()

    def good(self) -> BackupQuerySet:
        return self.filter(state=BackupState.GOOD)

    def for_list(self) -> BackupQuerySet:
        return self.select_related("database", "storage", "task").defer("passphrase", "storage__secret_key")


class Backup(models.Model):
    """A dump in pg_dump's custom format: the file ``<data>/backups/<file>``, and a copy in ``storage``.

    It outlives its database, and says by itself what is needed to read it.
    """

    database = models.ForeignKey(Database, null=True, blank=True, on_delete=models.SET_NULL, related_name="backups")
    subject = models.CharField(max_length=50, help_text="The database's name.")
    task = models.OneToOneField(
        "bakery.Task", null=True, blank=True, on_delete=models.SET_NULL, related_name="made_backup"
    )
    state = models.CharField(max_length=8, choices=BackupState.choices, default=BackupState.RUNNING)
    reason = models.CharField(max_length=10, choices=BackupReason.choices, default=BackupReason.ASKED)
    pinned = models.BooleanField(default=False, help_text="Kept, whatever the plan says.")
    file = models.CharField(max_length=200, blank=True, help_text="Below the backups directory; empty: not here.")
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the file as it lies there, hexadecimal.")
    sealed = models.BooleanField(default=False)
    passphrase = EncryptedField(blank=True, help_text="With which it was sealed.")
    server_major = models.PositiveSmallIntegerField(default=0)
    dump_major = models.PositiveSmallIntegerField(default=0, help_text="Of the pg_dump that wrote it.")
    entries = models.PositiveIntegerField(default=0, help_text="What pg_restore lists.")
    # Rows of each table when it was made, "schema.table": rows; a restore test compares.
    rows = models.JSONField(default=dict, blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(blank=True)
    storage = models.ForeignKey(Storage, null=True, blank=True, on_delete=models.SET_NULL, related_name="backups")
    storage_key = models.CharField(max_length=500, blank=True, help_text="The object; empty: not stored there.")
    storage_problem = models.TextField(blank=True)
    copy_tried_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The last restore test.
    tested_at = models.DateTimeField(null=True, blank=True)
    test_ok = models.BooleanField(null=True, blank=True)
    test_seconds = models.FloatField(null=True, blank=True)
    test_message = models.TextField(blank=True)

    objects = BackupQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.subject} of {self.started_at:%Y-%m-%d %H:%M}"
