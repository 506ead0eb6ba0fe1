from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.http import HttpRequest

from accounts.models import User
from accounts.services import create_person, set_role
from bakery.admin_pages import WithoutSecrets
from bakery.permissions import person_of
from infrastructure.secret import Secret


class NewPersonForm(BaseUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("email", "name", "role")
        field_classes: ClassVar[dict[str, type[forms.Field]]] = {}


@admin.register(User)
class PersonAdmin(WithoutSecrets, UserAdmin):  # type: ignore[type-arg]
    """People: role, whether they may sign in, password. They are not deleted: what they did keeps their name."""

    add_form = NewPersonForm
    list_display = ("email", "name", "role", "is_active", "last_login", "created_at")
    list_filter = ("role", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "created_at")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("What they may do", {"fields": ("role", "is_active")}),
        ("Dates", {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "name", "role", "password1", "password2")}),)

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        by = person_of(request)
        if not change:
            made = create_person(
                by=by, email=obj.email, password=Secret(form.cleaned_data["password1"]), role=obj.role, name=obj.name
            )
            obj.pk, obj.password = made.pk, made.password
            return
        stored = User.objects.get(pk=obj.pk)
        if {"role", "is_active"} & set(form.changed_data):
            set_role(stored, by=by, role=obj.role, active=obj.is_active)
        obj.email = obj.email.strip().lower()
        obj.save(update_fields=["email", "name"])
