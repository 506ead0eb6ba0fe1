from __future__ import annotations

from django.contrib import admin

from bakery.admin_pages import ReadOnly
from domains.models import Domain


@admin.register(Domain)
class DomainAdmin(ReadOnly):
    """Read-only: a row that is changed here would not reach Nginx."""

    list_display = ("hostname", "deployment", "generated", "created_at")
    list_filter = ("generated",)
    search_fields = ("hostname", "deployment__name")
