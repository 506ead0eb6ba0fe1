from __future__ import annotations

from typing import Any

from django import forms

from bakery.models import TaskKind, TaskQuerySet, TaskState
from deployments.models import Deployment


class ActivityFilter(forms.Form):
    """The feed's filters. What cannot be understood (an old link, a typing error) filters nothing."""

    deployment = forms.ModelChoiceField(Deployment.objects.none(), required=False, empty_label="All")
    kind = forms.ChoiceField(choices=[("", "All"), *TaskKind.choices], required=False, label="What")
    state = forms.ChoiceField(choices=[("", "All"), *TaskState.choices], required=False, label="State")
    before = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["deployment"].queryset = Deployment.objects.only("name").order_by("name")  # type: ignore[attr-defined]

    def apply(self, tasks: TaskQuerySet) -> TaskQuerySet:
        self.is_valid()
        for name in ("deployment", "kind", "state"):
            if self.cleaned_data.get(name):
                tasks = tasks.filter(**{name: self.cleaned_data[name]})
        if self.cleaned_data.get("before"):
            tasks = tasks.filter(pk__lt=self.cleaned_data["before"])
        return tasks
