from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from bakery.encryption import EncryptedField

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


PANEL = "Bakery"  # the subject of tasks about the panel itself


class Source(models.TextChoices):
    CERTBOT = "certbot", "Issued by Certbot"
    UPLOADED = "uploaded", "Uploaded"


class Challenge(models.TextChoices):
    HTTP = "http-01", "Over HTTP"
    DNS = "dns-01", "By a DNS record (needed for wildcards)"


class CertificateQuerySet(models.QuerySet["Certificate"]):
    def visible_to(self, user: User | AnonymousUser) -> CertificateQuerySet:
        return self if user.is_authenticated and user.is_active else self.none()

    def for_list(self) -> CertificateQuerySet:
        """For pages: without what was uploaded, and without the providers' credentials."""
        found = self.select_related("deployment", "dns_provider").defer("uploaded", "dns_provider__credentials")
        return found.order_by("not_after", "pk")


class Certificate(models.Model):
    """The TLS certificate of a deployment, with all its names; without a deployment it is the panel's own. The files
    are in Nginx's certificate store under ``store_name``; the row says what is in them and how the last try went."""

    deployment = models.OneToOneField(
        "deployments.Deployment", null=True, blank=True, on_delete=models.CASCADE, related_name="certificate"
    )
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.CERTBOT)
    challenge = models.CharField(max_length=8, choices=Challenge.choices, default=Challenge.HTTP)
    dns_provider = models.ForeignKey("domains.DnsProvider", null=True, blank=True, on_delete=models.PROTECT)
    automatic = models.BooleanField(default=True, help_text="Issue it as soon as DNS is right, and renew it.")

    # What is installed. Empty: nothing yet.
    names = models.JSONField(default=list, blank=True)
    issuer = models.CharField(max_length=300, blank=True)
    serial = models.CharField(max_length=64, blank=True, help_text="Hexadecimal.")
    fingerprint = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the certificate, hexadecimal.")
    not_before = models.DateTimeField(null=True, blank=True)
    not_after = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    installed_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True, help_text="When it was last seen to be served.")

    # How the last try went, so that a retry does not burn the rate limits of the certificate authority.
    error_id = models.CharField(max_length=60, blank=True)
    error_message = models.TextField(blank=True)
    error_hint = models.TextField(blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Since the last success.")
    tried_at = models.DateTimeField(null=True, blank=True)
    retry_after = models.DateTimeField(null=True, blank=True, help_text="Not tried again before.")
    left_out = models.JSONField(default=dict, blank=True, help_text="Names that it could not hold: name to reason.")

    # What a person has uploaded and a worker has not installed yet: the web process may not write to Nginx's store.
    uploaded = EncryptedField(blank=True, default="")

    objects = CertificateQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                models.Value(1), condition=models.Q(deployment=None), name="one_certificate_of_the_panel"
            ),
        ]

    def __str__(self) -> str:
        return self.store_name

    def covers(self, hostname: str) -> bool:
        """Whether what is installed is good for this name; a wildcard is good for one label (RFC 6125, 6.4.3)."""
        parent = hostname.partition(".")[2]
        return bool(self.fingerprint) and (hostname in self.names or f"*.{parent}" in self.names)

    @property
    def subject(self) -> str:
        """What its tasks and alarms are about."""
        return self.deployment.name if self.deployment else PANEL

    @property
    def is_installed(self) -> bool:
        return bool(self.fingerprint)

    @property
    def store_name(self) -> str:
        """Its name in Nginx's certificate store, and as a lineage of Certbot's."""
        return f"deployment-{self.deployment_id}" if self.deployment_id else "panel"
