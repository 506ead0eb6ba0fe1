from __future__ import annotations

from django.contrib import admin

from bakery.admin_pages import ReadOnly
from domains.models import Certificate, DnsProvider, Domain


@admin.register(Domain)
class DomainAdmin(ReadOnly):
    """Read-only: a row that is changed here would not reach Nginx."""

    list_display = ("hostname", "deployment", "primary", "verdict", "served_until", "created_at")
    list_filter = ("verdict", "generated")
    search_fields = ("hostname", "deployment__name")
    exclude = ("auth_hash",)  # cheap to guess at, as Nginx computes it at each request


@admin.register(Certificate)
class CertificateAdmin(ReadOnly):
    list_display = ("store_name", "source", "not_after", "failures", "error_message")
    list_filter = ("source",)


@admin.register(DnsProvider)
class DnsProviderAdmin(ReadOnly):
    list_display = ("name", "plugin", "created_at")
