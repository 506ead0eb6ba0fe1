"""The activity feed: one ``Task`` for everything that was asked of the host, with its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class TaskState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    SUPERSEDED = "superseded", "Superseded"


UNFINISHED = (TaskState.QUEUED, TaskState.RUNNING)


class TaskKind(models.TextChoices):
    DEPLOY = "deploy", "Deploy"
    ROLLBACK = "rollback", "Roll back"
    RESTART = "restart", "Restart"
    STOP = "stop", "Stop"
    START = "start", "Start"
    DELETE = "delete", "Delete"
    APPLY_ROUTES = "apply-routes", "Apply routes"
    UPDATE = "update", "Update"
    CERTIFICATE = "certificate", "Certificate"
    CREATE_DATABASE = "create-database", "Create database"
    CHANGE_DATABASE = "change-database", "Change database"
    ROTATE_PASSWORD = "rotate-password", "Rotate password"
    BACK_UP = "back-up", "Back up"
    RESTORE = "restore", "Restore"
    TEST_RESTORE = "test-restore", "Test a restore"
    FETCH_BACKUP = "fetch-backup", "Fetch a backup"
    CLONE_DATABASE = "clone-database", "Clone database"
    DROP_DATABASE = "drop-database", "Drop database"


ABOUT_DATABASES = (
    TaskKind.CREATE_DATABASE,
    TaskKind.CHANGE_DATABASE,
    TaskKind.ROTATE_PASSWORD,
    TaskKind.BACK_UP,
    TaskKind.RESTORE,
    TaskKind.TEST_RESTORE,
    TaskKind.FETCH_BACKUP,
    TaskKind.CLONE_DATABASE,
    TaskKind.DROP_DATABASE,
)
# What is no work of the release engine's, though it may be about a deployment.
BESIDE_THE_ENGINE = (TaskKind.UPDATE, TaskKind.CERTIFICATE, *ABOUT_DATABASES)
# What Bakery asks for by itself.
BY_ITSELF = (TaskKind.APPLY_ROUTES, TaskKind.CERTIFICATE, TaskKind.BACK_UP, TaskKind.TEST_RESTORE)


class TaskQuerySet(models.QuerySet["Task"]):
    def visible_to(self, user: User | AnonymousUser) -> TaskQuerySet:
        """Every role sees the whole feed; a deactivated account sees nothing."""
        return self if user.is_authenticated and user.is_active else self.none()

    def unfinished(self) -> TaskQuerySet:
        return self.filter(state__in=UNFINISHED)

    def of_the_engine(self) -> TaskQuerySet:
        return self.exclude(kind__in=BESIDE_THE_ENGINE)

    def about_no_database(self) -> TaskQuerySet:
        """Those of a database go on, whatever becomes of the deployment that it was made for."""
        return self.exclude(kind__in=ABOUT_DATABASES)

    def for_feed(self) -> TaskQuerySet:
        return self.select_related("deployment", "release", "requested_by").order_by("-created_at", "-pk")


class Task(models.Model):
    """What was asked, by whom, and how it went. ``subject`` keeps the deployment's name after it is deleted."""

    kind = models.CharField(max_length=20, choices=TaskKind.choices)
    subject = models.CharField(max_length=200)
    state = models.CharField(max_length=12, choices=TaskState.choices, default=TaskState.QUEUED)
    deployment = models.ForeignKey(
        "deployments.Deployment", null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks"
    )
    release = models.ForeignKey(
        "deployments.Release", null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks"
    )
    database = models.ForeignKey(
        "databases.Database", null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks"
    )
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    ref = models.CharField(max_length=200, blank=True, help_text="What was said with it, in the words of its kind.")
    cancel_requested = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How many workers began with it.")
    error_id = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    error_hint = models.TextField(blank=True)
    error_blame = models.CharField(max_length=10, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["-created_at"]),
            models.Index(fields=["deployment", "state"]),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["kind"],
                condition=models.Q(kind=TaskKind.UPDATE, state__in=UNFINISHED),
                name="one_update_at_a_time",
            ),
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=models.Q(kind=TaskKind.CERTIFICATE, state__in=UNFINISHED),
                name="one_certificate_task_at_a_time",
            ),
            models.UniqueConstraint(
                fields=["kind", "database"],
                condition=models.Q(database__isnull=False, state__in=UNFINISHED),
                name="one_task_of_a_kind_per_database",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"

    @property
    def asked_by(self) -> str:
        """Whom the pages name: a person, or where nobody was signed in. Bakery itself asks for some kinds of tasks."""
        if self.requested_by:
            return self.requested_by.email
        return "Bakery or the shell" if self.kind in BY_ITSELF else "the shell"

    @property
    def can_be_cancelled(self) -> bool:
        """Whether it has not passed its last safe point: a release that serves is rolled back instead."""
        if self.is_finished or self.kind in (TaskKind.DELETE, TaskKind.UPDATE):  # an update puts itself back
            return False
        if self.kind == TaskKind.CHANGE_DATABASE or self.settles_a_restore:
            return False  # some statements, and done
        if self.state == TaskState.QUEUED:
            return True
        if self.kind in (TaskKind.STOP, TaskKind.APPLY_ROUTES) or self.error_id:
            return False
        deploys = self.kind in (TaskKind.DEPLOY, TaskKind.ROLLBACK)
        return not (deploys and self.release and self.release.serves)

    @property
    def settles_a_restore(self) -> bool:
        """Whether it confirms or undoes one, instead of making it."""
        return self.kind == TaskKind.RESTORE and '"verb"' in self.ref

    @property
    def is_finished(self) -> bool:
        return self.state not in UNFINISHED


class TaskStep(models.Model):
    """One step of a task. A *phase* (``fetch``, ``build``, ``switch`` …) has no argv; a command has one, masked."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="steps")
    phase = models.CharField(max_length=40)
    argv = models.JSONField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    note = models.TextField(blank=True)
    state = models.CharField(max_length=12, choices=TaskState.choices, default=TaskState.RUNNING)
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return " ".join(self.argv) if self.argv else self.phase


class AlarmQuerySet(models.QuerySet["Alarm"]):
    def visible_to(self, user: User | AnonymousUser) -> AlarmQuerySet:
        """Every role sees every alarm; a deactivated account sees none."""
        return self if user.is_authenticated and user.is_active else self.none()

    def open(self) -> AlarmQuerySet:
        return self.filter(ended_at=None)

    def for_list(self) -> AlarmQuerySet:
        """The urgent ones first, then what was said last."""
        return self.select_related("deployment").order_by("-urgent", "-changed_at", "-pk")

    def of_databases(self, *pks: int) -> AlarmQuerySet:
        """Those of these databases; of all, where none is named."""
        about = self.filter(key__startswith="database.")
        return about.filter(key__regex=rf":({'|'.join(map(str, pks))})$") if pks else about


class Alarm(models.Model):
    """Something that a person has to look at, until it is over: shown in the activity feed and on the dashboard.

    ``key`` tells which one it is (``certificate.expires:7``), so that what raises it again changes this row.
    """

    key = models.CharField(max_length=120)
    subject = models.CharField(max_length=253)
    message = models.TextField()
    hint = models.TextField(blank=True)
    urgent = models.BooleanField(default=False)
    deployment = models.ForeignKey(
        "deployments.Deployment", null=True, blank=True, on_delete=models.CASCADE, related_name="alarms"
    )
    raised_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = AlarmQuerySet.as_manager()

    class Meta:
        ordering = ["-changed_at"]
        constraints = [
            models.UniqueConstraint(fields=["key"], condition=models.Q(ended_at=None), name="one_open_alarm_of_a_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"

    @property
    def database_pk(self) -> int | None:
        """The database that it is about, from its key (``database.quota:7``)."""
        kind, _, number = self.key.partition(":")
        return int(number) if kind.startswith("database.") and number.isdecimal() else None


class AvailableVersion(models.Model):
    """What the last look for a newer version of Bakery itself found. One row, of which the web process only reads."""

    sha = models.CharField(max_length=40, blank=True, help_text="Empty: none was ever seen.")
    date = models.CharField(max_length=40, blank=True)
    current_sha = models.CharField(max_length=40, blank=True, help_text="What ran when it was looked for.")
    changes = models.JSONField(default=list, help_text="The commits between the two: sha, date, subject.")
    changelog = models.TextField(blank=True, help_text="What CHANGELOG.md has more.")
    seen_at = models.DateTimeField(null=True, blank=True, help_text="When it was last looked for with success.")
    looked_at = models.DateTimeField(null=True, blank=True)
    problem = models.TextField(blank=True, help_text="Why the last look saw nothing.")

    def __str__(self) -> str:
        return self.sha[:12]
