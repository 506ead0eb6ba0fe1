"""DNS providers: adding, replacing the credentials of one, and removing one that no certificate needs."""

from __future__ import annotations

from django.db.models import ProtectedError

from accounts.models import User
from domains.models import DnsProvider
from domains.services.issuance import save_dns_provider
from infrastructure.errors import Refused


def add_provider(*, by: User | None, name: str, plugin: str, credentials: str) -> DnsProvider:
    """Raises ``Refused`` when the name is taken, or the credentials lack what the plugin reads."""
    name = name.strip()
    if not name:
        raise Refused("dns-provider.name", "A DNS provider needs a name, by which certificates choose it.")
    if DnsProvider.objects.filter(name=name).exists():
        raise Refused("dns-provider.taken", f"There is a DNS provider called {name}.", "Replace its credentials.")
    return save_dns_provider(name, plugin, credentials)


def replace_credentials(provider: DnsProvider, *, by: User | None, plugin: str, credentials: str) -> DnsProvider:
    return save_dns_provider(provider.name, plugin, credentials)


def remove_provider(provider: DnsProvider, *, by: User | None) -> None:
    try:
        provider.delete()
    except ProtectedError as error:
        used = sorted(str(getattr(row, "subject", row)) for row in error.protected_objects)
        raise Refused(
            "dns-provider.used",
            f"{provider.name} is what the certificates of {', '.join(used)} are renewed with.",
            "Choose another way for them first.",
        ) from error
