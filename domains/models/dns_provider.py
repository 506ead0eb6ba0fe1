from __future__ import annotations

from django.db import models

from bakery.encryption import EncryptedField


class DnsProvider(models.Model):
    """Credentials for one of Certbot's DNS plugins, with which it proves wildcard names."""

    name = models.CharField(max_length=60, unique=True)
    plugin = models.CharField(max_length=30, help_text="The plugin's name as Certbot has it: rfc2136, cloudflare …")
    propagation_seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="How long a record takes to be seen everywhere. Empty: as is usual there."
    )
    credentials = EncryptedField(help_text="What the plugin's credentials file holds.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.plugin})"
