"""What Bakery's pages in Django's admin share: rows that tell what happened are read, never changed by hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from bakery.encryption import EncryptedField
from infrastructure.errors import Problem


class WithoutSecrets(admin.ModelAdmin):  # type: ignore[type-arg]
    """No encrypted column is read, so one that cannot be decrypted breaks no page, and none is shown."""

    show_full_result_count = False  # counting millions of chunks takes seconds

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the rows that it points to, and without secrets of its own or of theirs."""
        pointers = [column for column in self.model._meta.local_fields if column.many_to_one]
        secrets = secret_columns(self.model)
        secrets += [f"{pointer.name}__{name}" for pointer in pointers for name in secret_columns(pointer.related_model)]
        return super().get_queryset(request).select_related(*(pointer.name for pointer in pointers)).defer(*secrets)

    def get_exclude(self, request: HttpRequest, obj: Any | None = None) -> Any:
        return [*(super().get_exclude(request, obj) or []), *secret_columns(self.model)]

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Services are called while a form is saved; what they refuse is said on the form's page."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (Problem, ValidationError) as error:
            self.message_user(request, in_one_line(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class ReadOnly(WithoutSecrets):
    """May be looked at. Changing a row by hand would say something that did not happen."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False


def secret_columns(model: type[Model]) -> list[str]:
    return [column.name for column in model._meta.local_fields if isinstance(column, EncryptedField)]


def in_one_line(error: Problem | ValidationError) -> str:
    return str(error) if isinstance(error, Problem) else " ".join(error.messages)
