from __future__ import annotations

from django import forms

from databases.models import DatabaseKind


class ListFilter(forms.Form):
    """The filters of the list of all databases. What cannot be understood filters nothing."""

    q = forms.CharField(required=False, max_length=100)
    show = forms.ChoiceField(
        label="Show",
        required=False,
        choices=[
            ("", "All databases"),
            ("attention", "Needs attention"),
            (DatabaseKind.MANAGED, "Made by Bakery"),
            (DatabaseKind.EXTERNAL, "Elsewhere"),
        ],
    )
