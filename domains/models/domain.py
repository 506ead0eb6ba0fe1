from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from domains.models.certificate import Certificate
from infrastructure.hostnames import a_labels
from infrastructure.values import Hostname

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


ATTENTION_BEFORE_EXPIRY = timedelta(days=21)  # Certbot renews at 30 days: by then it has failed for a week
NO_ATTENTION = 3
LOCAL = models.Q(hostname__endswith=".localhost")  # has neither DNS nor certificates


def validate_hostname(text: str) -> None:
    try:
        Hostname(text.removeprefix("*."))
    except ValueError as problem:
        raise ValidationError(str(problem)) from problem


def certified(**wanted: object) -> models.Q:
    """Names whose deployment's certificate is like that; for the panel's own names, the panel's."""
    of_panel = models.Exists(Certificate.objects.filter(deployment=None, **wanted))
    of_deployment = {f"deployment__certificate__{name}": value for name, value in wanted.items()}
    return models.Q(deployment__isnull=False, **of_deployment) | models.Q(of_panel, deployment=None)


class Verdict(models.TextChoices):
    """What the last look at a name's DNS found. Why stands in ``Domain.report``."""

    UNCHECKED = "unchecked", "Not looked at yet"
    RIGHT = "right", "Points here"
    WRONG = "wrong", "Not right yet"
    UNCLEAR = "unclear", "DNS does not answer"


class DomainQuerySet(models.QuerySet["Domain"]):
    def visible_to(self, user: User | AnonymousUser) -> DomainQuerySet:
        """Every role sees every name; a deactivated account sees none."""
        return self if user.is_authenticated and user.is_active else self.none()

    def for_list(self) -> DomainQuerySet:
        found = self.select_related("deployment", "deployment__certificate").defer("deployment__certificate__uploaded")
        return found.order_by("hostname")

    def for_overview(self) -> DomainQuerySet:
        """Of all deployments, those that need attention first, and what Bakery made itself last."""
        soon = timezone.now() + ATTENTION_BEFORE_EXPIRY
        ends = ~LOCAL & (certified(not_after__lt=soon) | certified(revoked_at__isnull=False))
        attention = models.Case(
            models.When(models.Q(served_problem__gt="") | ends, then=models.Value(0)),
            models.When(~LOCAL & models.Q(verdict__in=(Verdict.WRONG, Verdict.UNCLEAR)), then=models.Value(1)),
            models.When(~LOCAL & certified(error_message__gt=""), then=models.Value(2)),
            default=models.Value(NO_ATTENTION),
        )
        return self.for_list().annotate(attention=attention).order_by("attention", "generated", "hostname")

    def matching(self, query: str) -> DomainQuerySet:
        """By a part of the name, as it is typed or as DNS has it, or of the deployment's name."""
        found = models.Q(hostname__icontains=query) | models.Q(deployment__name__icontains=query)
        if not query.isascii():
            found |= models.Q(hostname__icontains=a_labels(query))
        return self.filter(found)

    def showing(self, what: str) -> DomainQuerySet:
        """Of ``for_overview()``: one of the filters of the list of all names."""
        own, has_certificate = ~LOCAL, certified(fingerprint__gt="")
        return self.filter({
            "attention": models.Q(attention__lt=NO_ATTENTION),
            "wrong": own & ~models.Q(verdict=Verdict.RIGHT),
            "https": own & has_certificate,
            "plain": own & ~has_certificate,
        }[what])  # fmt: skip


class Domain(models.Model):
    """A host name under which Nginx serves a deployment, in A-label form; ``*.example.com`` stands for all below it.
    Each deployment has one that Bakery made: ``<name>.<apps domain>``. Without a deployment it is the panel's own."""

    deployment = models.ForeignKey(
        "deployments.Deployment", null=True, blank=True, on_delete=models.CASCADE, related_name="domains"
    )
    hostname = models.CharField(max_length=253, unique=True, validators=[validate_hostname])
    generated = models.BooleanField(default=False)
    primary = models.BooleanField(default=False, help_text="The name that the others redirect to, where they do.")
    redirects = models.BooleanField(default=False, help_text="Redirect (301) to the primary name instead of serving.")
    created_at = models.DateTimeField(auto_now_add=True)

    # What DNS says.
    verdict = models.CharField(max_length=12, choices=Verdict.choices, default=Verdict.UNCHECKED)
    report = models.JSONField(default=dict, blank=True, help_text="Records seen and findings of the last look.")
    checked_at = models.DateTimeField(null=True, blank=True)
    next_check_at = models.DateTimeField(null=True, blank=True, help_text="When it is looked at again by itself.")
    right_at = models.DateTimeField(null=True, blank=True, help_text="When it was last seen to be right.")
    checks = models.PositiveIntegerField(default=0, help_text="Looks since the verdict last changed.")

    # What Nginx serves at this name, by the last TLS handshake.
    served_fingerprint = models.CharField(max_length=64, blank=True)
    served_until = models.DateTimeField(null=True, blank=True)
    served_problem = models.TextField(blank=True)
    served_at = models.DateTimeField(null=True, blank=True)

    # What is asked for at this name besides being routed.
    hsts_seconds = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(63_072_000)],
        help_text="Strict-Transport-Security: browsers keep to https:// for so many seconds. 0: not sent.",
    )
    max_body_mb = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(102_400)],
        help_text="Largest request body, MiB. Empty: the deployment's.",
    )
    auth_user = models.CharField(max_length=100, blank=True)
    auth_hash = models.CharField(max_length=200, blank=True, help_text="crypt(3) of the password, as Nginx reads it.")
    allowed_networks = models.JSONField(default=list, blank=True, help_text="CIDR networks. Empty: everybody.")
    maintenance = models.BooleanField(default=False, help_text="Show the maintenance page instead of the app.")
    headers = models.JSONField(default=dict, blank=True, help_text="Extra response headers: name to value.")

    objects = DomainQuerySet.as_manager()

    class Meta:
        ordering = ["-primary", "-generated", "hostname"]
        constraints = [
            models.UniqueConstraint(
                fields=["deployment"], condition=models.Q(primary=True), name="one_primary_name_per_deployment"
            ),
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(primary=True, deployment=None), name="one_primary_name_of_the_panel"
            ),
            models.CheckConstraint(
                condition=~models.Q(primary=True, redirects=True), name="the_primary_name_does_not_redirect"
            ),
        ]

    def __str__(self) -> str:
        return self.hostname

    @property
    def is_wildcard(self) -> bool:
        return self.hostname.startswith("*.")
