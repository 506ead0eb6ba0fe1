from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from bakery.encryption import EncryptedField
from deployments.models.deployment import validate_name

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class DatabaseKind(models.TextChoices):
    MANAGED = "managed", "Made by Bakery"
    EXTERNAL = "external", "Elsewhere, by its address"


class DatabaseState(models.TextChoices):
    CREATING = "creating", "Being made"
    READY = "ready", "Ready"
    FAILED = "failed", "Could not be made"
    DROPPING = "dropping", "Being dropped"


class Login(models.TextChoices):
    """The two roles that take turns at signing in: while one is in use the other can get a new password."""

    A = "a", "a"
    B = "b", "b"


class DatabaseQuerySet(models.QuerySet["Database"]):
    def visible_to(self, user: User | AnonymousUser) -> DatabaseQuerySet:
        """Every role sees every database (not its password); a deactivated account sees none."""
        return self if user.is_authenticated and user.is_active else self.none()

    def managed(self) -> DatabaseQuerySet:
        return self.filter(kind=DatabaseKind.MANAGED)

    def for_list(self) -> DatabaseQuerySet:
        return (
            self.defer("password", "next_password", "url")
            .select_related("deployment")
            .prefetch_related("attachments__deployment")
            .order_by("name")
        )


class Database(models.Model):
    """A PostgreSQL database that deployments use: made by Bakery on the server of ``BAKERY_POSTGRES_ADMIN_URL``, or
    one elsewhere of which Bakery knows the address.

    Names on the server come from the row's id: the database ``bakery_db_<id>``; the role ``bakery_db_<id>_owner``,
    which cannot sign in and owns everything; ``…_a`` and ``…_b``, members of it that sign in by turns (their ``SET
    role`` makes what they create the owner's); ``…_reader``, for people. A comment on the database holds ``token``: a
    database of the same name that some other Bakery made is never touched.
    """

    name = models.CharField(max_length=50, unique=True, validators=[validate_name])
    kind = models.CharField(max_length=10, choices=DatabaseKind.choices, default=DatabaseKind.MANAGED)
    state = models.CharField(max_length=10, choices=DatabaseState.choices, default=DatabaseState.CREATING)
    deployment = models.ForeignKey(
        "deployments.Deployment",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="own_databases",
        help_text="For which it was made: deleted with it, where nobody else uses it.",
    )
    token = models.UUIDField(default=uuid.uuid4, editable=False)

    # Of one that Bakery made.
    login = models.CharField(max_length=1, choices=Login.choices, default=Login.A)
    password = EncryptedField(blank=True, help_text="Of the role that signs in.")
    next_password = EncryptedField(blank=True, help_text="Of the other one, while the password is being rotated.")
    has_reader = models.BooleanField(default=False, help_text="There is a read-only role; its password is not kept.")
    extensions = models.JSONField(default=list, blank=True)
    encoding = models.CharField(max_length=20, default="UTF8")
    locale = models.CharField(max_length=60, blank=True, help_text="Empty: C.UTF-8 where the server has it, else C.")
    connection_limit = models.PositiveIntegerField(
        default=20, validators=[MinValueValidator(1), MaxValueValidator(1000)], help_text="Of each role that signs in."
    )
    statement_timeout = models.PositiveIntegerField(
        default=60, validators=[MaxValueValidator(86400)], help_text="Seconds; 0: none. An application may set its own."
    )
    idle_timeout = models.PositiveIntegerField(
        default=300,
        validators=[MaxValueValidator(86400)],
        help_text="Seconds that a transaction may be open and do nothing; 0: for ever.",
    )
    quota_mb = models.PositiveIntegerField(default=0, help_text="An alarm from this size on, MiB; 0: none.")
    previous = models.CharField(
        max_length=63, blank=True, editable=False, help_text="The database as it was before the last restore."
    )
    server_version = models.PositiveIntegerField(default=0, editable=False, help_text="As 150004; 0: not seen yet.")
    address = models.CharField(
        max_length=300, blank=True, editable=False, help_text="host:port of its server, as a worker saw it last."
    )

    # Of one elsewhere.
    url = EncryptedField(blank=True)
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    problem = models.TextField(blank=True, editable=False, help_text="What the last look at it found wrong, in words.")

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DatabaseQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_managed(self) -> bool:
        return self.kind == DatabaseKind.MANAGED

    @property
    def database_name(self) -> str:
        """On the server."""
        return f"bakery_db_{self.pk}"

    @property
    def owner_role(self) -> str:
        return f"{self.database_name}_owner"

    @property
    def reader_role(self) -> str:
        return f"{self.database_name}_reader"

    def login_role(self, login: str | None = None) -> str:
        return f"{self.database_name}_{login or self.login}"


class Disclosure(models.Model):
    """Who was shown a secret of a database, and when. Kept after the database is gone."""

    database = models.ForeignKey(Database, null=True, on_delete=models.SET_NULL, related_name="disclosures")
    subject = models.CharField(max_length=50)
    what = models.CharField(max_length=40, help_text="The connection string, the read-only password, a backup.")
    shown_to = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    shown_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-shown_at"]

    def __str__(self) -> str:
        return f"{self.what} of {self.subject}"
