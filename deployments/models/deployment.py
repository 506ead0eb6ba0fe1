from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from bakery.encryption import EncryptedField
from infrastructure import values

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

RESERVED_NAMES = frozenset({"bakery", "panel", "www", "localhost", "static", "api", "admin"})


class Runtime(models.TextChoices):
    AUTO = "auto", "Automatic: Docker where the repository has a Dockerfile, else Bun"
    DOCKER = "docker", "Docker"
    BUN = "bun", "Bun"


class SlotName(models.TextChoices):
    BLUE = "blue", "Blue"
    GREEN = "green", "Green"


def _checked(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ValueError as problem:
        raise ValidationError(str(problem)) from problem


def validate_name(text: str) -> None:
    _checked(values.DeploymentName, text)
    if text in RESERVED_NAMES:
        raise ValidationError(f"“{text}” is reserved. Choose another name.")


def validate_repository(text: str) -> None:
    _checked(lambda t: values.GitUrl(t, allow_file=settings.BAKERY.allow_file_repositories), text)


def validate_ref(text: str) -> None:
    _checked(values.GitRef, text)


def validate_directory(text: str) -> None:
    _checked(values.RelativePath, text)


def validate_http_path(text: str) -> None:
    _checked(values.HttpPath, text)


def validate_command(text: str) -> None:
    _checked(values.command_line, text)


def validate_env_name(text: str) -> None:
    _checked(values.EnvName, text)


def _whole(default: int, low: int, high: int, help_text: str) -> models.PositiveIntegerField:  # type: ignore[type-arg]
    return models.PositiveIntegerField(
        default=default, validators=[MinValueValidator(low), MaxValueValidator(high)], help_text=help_text
    )


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def visible_to(self, user: User | AnonymousUser) -> DeploymentQuerySet:
        """Every role sees every deployment; a deactivated account sees none."""
        return self if user.is_authenticated and user.is_active else self.none()

    def for_list(self) -> DeploymentQuerySet:
        """With what ``status_of`` and a row of the list need, in three queries and without decrypting a snapshot."""
        from deployments.models.release import Release

        return (
            self.select_related("current_release__slot", "current_release__created_by", "certificate")
            .defer("current_release__snapshot", "certificate__uploaded")
            .prefetch_related(
                "domains", models.Prefetch("releases", Release.objects.telling(), to_attr="telling_releases")
            )
            .order_by("name")
        )


class Deployment(models.Model):
    """An application that Bakery runs: a repository, a branch, settings. See docs/architecture.md, “Words”."""

    name = models.CharField(max_length=50, unique=True, validators=[validate_name])
    repository = models.CharField(max_length=500, validators=[validate_repository])
    branch = models.CharField(max_length=200, default="main", validators=[validate_ref])
    base_directory = models.CharField(max_length=300, blank=True, validators=[validate_directory])
    runtime = models.CharField(max_length=10, choices=Runtime.choices, default=Runtime.AUTO)
    blue_green = models.BooleanField(
        default=True, help_text="Start the new release beside the old one and switch when it answers."
    )
    one_writer = models.BooleanField(
        default=False,
        help_text="Never run two releases at once: the switch stops the old one first. For SQLite and the like.",
    )
    health_path = models.CharField(
        max_length=500,
        default="/",
        blank=True,
        validators=[validate_http_path],
        help_text="A GET on this path must answer 200 to 399. Empty: an open TCP port is enough.",
    )
    build_command = models.CharField(max_length=2000, blank=True, validators=[validate_command])
    start_command = models.CharField(max_length=2000, blank=True, validators=[validate_command])
    pre_deploy_command = models.CharField(
        max_length=2000,
        blank=True,
        validators=[validate_command],
        help_text="Runs with the new release's files and environment before the switch, for migrations.",
    )
    container_port = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
        help_text="The port inside the container. Empty: the image's EXPOSE, else 3000.",
    )
    memory_mb = _whole(512, 32, 1_048_576, "Memory limit of the running app, MiB.")
    cpu_percent = _whole(100, 5, 6400, "CPU limit of the running app, per cent of one core.")
    max_processes = _whole(256, 16, 32768, "Most processes and threads of the running app.")
    build_memory_mb = _whole(2048, 128, 1_048_576, "Memory limit of a build, MiB.")
    build_timeout = _whole(900, 10, 7200, "Time limit of a build, seconds.")
    build_disk_mb = _whole(4096, 64, 1_048_576, "What a build, and a clone, may write to the disk, MiB.")
    probe_timeout = _whole(60, 1, 1800, "How long a new release may take to answer, seconds.")
    drain_seconds = _whole(30, 0, 3600, "How long the old release may finish its requests, seconds.")
    grace_seconds = _whole(10, 0, 600, "Between SIGTERM and SIGKILL, seconds.")
    watch_seconds = _whole(10, 0, 600, "How long a new release is watched, and reverted when it dies, seconds.")
    request_timeout = _whole(60, 1, 86400, "How long Nginx waits for the app between two reads, seconds.")
    max_body_mb = _whole(64, 1, 102_400, "Largest request body, MiB.")

    # State. Changed by services alone.
    stopped = models.BooleanField(default=False, editable=False, help_text="Somebody stopped it.")
    deleting = models.BooleanField(default=False, editable=False)
    # The pointer: what Nginx should send requests to. Committed before the host is touched.
    current_release = models.ForeignKey(
        "deployments.Release", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    route_generation = models.PositiveBigIntegerField(default=0, editable=False)
    next_release_number = models.PositiveIntegerField(default=1, editable=False)
    # The lease: which task of which worker may touch this deployment on the host, and until when.
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_task = models.ForeignKey(
        "bakery.Task", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DeploymentQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Slot(models.Model):
    """One of the two places where a release of a deployment runs. Its port and address are its own for life."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="slots")
    name = models.CharField(max_length=5, choices=SlotName.choices)
    port = models.PositiveIntegerField(unique=True, help_text="Loopback port.")
    address = models.GenericIPAddressField(
        protocol="IPv4", unique=True, help_text="Address of its container on Bakery's bridge network."
    )
    # Where Nginx sends the slot's requests: written when a release starts in it. "host:port".
    upstream = models.CharField(max_length=80, blank=True)
    # The release whose process is, or was last, in this slot.
    release = models.ForeignKey(
        "deployments.Release", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # What that process was given of its databases: see databases.services.injection.fingerprints.
    databases = models.JSONField(default=dict, blank=True)
    # The last observation of its process: see infrastructure.runtime.Observation.
    observed_state = models.CharField(max_length=12, blank=True)
    observed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["deployment", "name"], name="one_slot_of_each_name")]

    def __str__(self) -> str:
        return f"{self.deployment_id}-{self.name}"


class EnvVar(models.Model):
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="env_vars")
    name = models.CharField(max_length=200, validators=[validate_env_name])
    value = EncryptedField()
    build_time = models.BooleanField(default=True, help_text="Given to install and build.")
    run_time = models.BooleanField(default=True, help_text="Given to the running app.")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["deployment", "name"], name="one_value_per_variable")]

    def __str__(self) -> str:
        return self.name


class PersistentDirectory(models.Model):
    """A directory inside the app that outlives its releases. ``path`` is relative to the app's directory."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="persistent_directories")
    path = models.CharField(max_length=300, validators=[validate_directory])

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["deployment", "path"], name="one_persistent_directory_per_path")]

    def __str__(self) -> str:
        return self.path
