from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from bakery.admin_pages import ReadOnly, WithoutSecrets, in_one_line
from bakery.models import Task
from bakery.permissions import person_of
from deployments.models import Deployment, EnvVar, LogChunk, LogStream, PersistentDirectory, Release, Slot
from deployments.services import requests
from deployments.services.env import set_env, unset_env
from deployments.services.settings import CHANGEABLE, update_deployment
from deployments.services.status import status_of, url_of
from infrastructure.errors import Problem


def _for_each(verb: Callable[..., Task], label: str) -> Any:
    """An action of the list: asks the same service as the page's button."""

    @admin.action(description=label)
    def act(modeladmin: Any, request: HttpRequest, chosen: QuerySet[Deployment]) -> None:
        for deployment in chosen:
            try:
                task = verb(deployment, by=person_of(request))
                modeladmin.message_user(request, f"{task} is queued as task {task.pk}.")
            except Problem as problem:
                modeladmin.message_user(request, in_one_line(problem), messages.ERROR)

    act.__name__ = verb.__name__
    return act


@admin.register(Deployment)
class DeploymentAdmin(WithoutSecrets):
    """Settings are changed through the service; making and deleting, which reach the host, have their own pages."""

    list_display = ("name", "status", "runtime", "repository", "branch", "current_release", "address", "created_at")
    list_filter = ("runtime", "stopped", "blue_green", "one_writer")
    search_fields = ("name", "repository", "branch", "domains__hostname")
    ordering = ("name",)
    actions = (
        _for_each(requests.deploy, "Deploy the branch"),
        _for_each(requests.restart, "Restart"),
        _for_each(requests.stop, "Stop"),
        _for_each(requests.start, "Start"),
    )
    readonly_fields = ("name", "current_release", "stopped", "created_by", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> Any:
        return Deployment.objects.for_list()

    def save_model(self, request: HttpRequest, obj: Deployment, form: Any, change: bool) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data if name in CHANGEABLE}
        update_deployment(Deployment.objects.get(pk=obj.pk), by=person_of(request), **changes)

    @admin.display(description="Status")
    def status(self, deployment: Deployment) -> str:
        return status_of(deployment).label

    @admin.display(description="Address")
    def address(self, deployment: Deployment) -> str:
        return url_of(deployment)


class EnvVarForm(forms.ModelForm):  # type: ignore[type-arg]
    """The value is written, never shown."""

    new_value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text="Stored encrypted and not shown again. Left empty: an existing value stays.",
    )

    class Meta:
        model = EnvVar
        fields = ("deployment", "name", "build_time", "run_time")


@admin.register(EnvVar)
class EnvVarAdmin(WithoutSecrets):
    form = EnvVarForm
    list_display = ("name", "deployment", "build_time", "run_time", "updated_at")
    list_filter = ("deployment", "build_time", "run_time")
    search_fields = ("name", "deployment__name")
    ordering = ("deployment__name", "name")

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> tuple[str, ...]:
        return ("deployment", "name") if obj else ()

    def save_model(self, request: HttpRequest, obj: EnvVar, form: Any, change: bool) -> None:
        value = form.cleaned_data["new_value"]
        if change and not value:
            value = EnvVar.objects.get(pk=obj.pk).value.reveal()
        set_env(
            obj.deployment,
            by=person_of(request),
            values={obj.name: value},
            build_time=obj.build_time,
            run_time=obj.run_time,
        )
        obj.pk = EnvVar.objects.values_list("pk", flat=True).get(deployment=obj.deployment, name=obj.name)

    def delete_model(self, request: HttpRequest, obj: EnvVar) -> None:
        unset_env(obj.deployment, by=person_of(request), names=[obj.name])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[EnvVar]) -> None:
        for variable in queryset.select_related("deployment"):
            self.delete_model(request, variable)


@admin.register(Release)
class ReleaseAdmin(ReadOnly):
    list_display = ("deployment", "number", "state", "ref", "commit", "runtime", "slot", "created_by", "created_at")
    list_filter = ("state", "runtime", "deployment")
    search_fields = ("deployment__name", "commit_sha", "commit_subject", "ref", "error_message")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @admin.display(description="Commit")
    def commit(self, release: Release) -> str:
        return release.commit_sha[:10]


@admin.register(Slot)
class SlotAdmin(ReadOnly):
    list_display = ("deployment", "name", "port", "address", "upstream", "release", "observed_state", "observed_at")
    list_filter = ("name", "observed_state")
    search_fields = ("deployment__name", "port", "address")


@admin.register(PersistentDirectory)
class PersistentDirectoryAdmin(ReadOnly):
    list_display = ("path", "deployment")
    list_filter = ("deployment",)
    search_fields = ("path", "deployment__name")


@admin.register(LogStream)
class LogStreamAdmin(ReadOnly):
    list_display = (
        "id",
        "kind",
        "deployment",
        "release",
        "line_count",
        "byte_count",
        "cut_lines",
        "created_at",
        "ended_at",
    )
    list_filter = ("kind", "deployment")
    search_fields = ("deployment__name",)
    ordering = ("-pk",)


@admin.register(LogChunk)
class LogChunkAdmin(ReadOnly):
    list_display = ("stream", "seq", "first_line", "line_count", "byte_offset", "created_at")
    list_filter = ("stream__kind",)
    search_fields = ("=stream__id", "stream__deployment__name")
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        match = request.resolver_match
        # A page of the list shows a hundred chunks: their text would be three megabytes.
        return rows if match and match.url_name and match.url_name.endswith("_change") else rows.defer("data")
