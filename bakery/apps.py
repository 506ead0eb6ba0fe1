from __future__ import annotations

from django.apps import AppConfig


class BakeryConfig(AppConfig):
    name = "bakery"
    verbose_name = "Activity"

    def ready(self) -> None:
        from bakery import checks  # noqa: F401 - registers itself
