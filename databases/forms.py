from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from bakery.service_forms import PLAIN, ServiceForm
from databases.models import Database, DatabaseKind
from databases.services.provisioning import EXTENSIONS
from deployments.models import Deployment

LONGEST_NAME = 50
LIMITS = ("connection_limit", "statement_timeout", "idle_timeout", "quota_mb")
LABELS = {
    "connection_limit": "Connections",
    "statement_timeout": "Longest statement, seconds",
    "idle_timeout": "Idle in a transaction, seconds",
    "quota_mb": "Quota, MiB",
}
HELP = {
    "connection_limit": "Of each role that signs in. More are refused by PostgreSQL.",
    "statement_timeout": "0: none. An application may set its own.",
    "idle_timeout": "How long a transaction may be open and do nothing; 0: for ever.",
    "quota_mb": "An alarm at 90 % of it, an urgent one at all of it; nothing is stopped. 0: none.",
}
ENCODINGS = [(name, name) for name in ("UTF8", "LATIN1", "LATIN9", "WIN1252", "SQL_ASCII")]


def limit_fields() -> dict[str, forms.Field]:
    return forms.fields_for_model(Database, LIMITS, labels=LABELS, help_texts=HELP)


def extensions_field() -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label="Extensions",
        required=False,
        choices=[(name, name) for name in EXTENSIONS],
        widget=forms.CheckboxSelectMultiple,
        help_text="One that the server does not have is refused when the database is made.",
    )


def variable_field(**options: Any) -> forms.CharField:
    return forms.CharField(
        label="Variable",
        max_length=200,
        initial="DATABASE_URL",
        widget=forms.TextInput(attrs=PLAIN),
        help_text="What the app reads the address from.",
        **options,
    )


def pg_variables_field() -> forms.BooleanField:
    return forms.BooleanField(
        required=False,
        label="PGHOST and the others as well",
        help_text="PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE.",
    )


def deployments() -> Any:
    return Deployment.objects.filter(deleting=False).only("name").order_by("name")


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


class NewDatabaseForm(ServiceForm):
    name = forms.CharField(
        max_length=LONGEST_NAME,
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "shop-db", "autofocus": True}),
        help_text="For these pages: small letters, digits and hyphens. It cannot be changed later.",
    )
    deployment = forms.ModelChoiceField(
        Deployment.objects.none(),
        label="For the deployment",
        required=False,
        empty_label="None yet",
        help_text="Its next release has the address. Deleted with it, where nobody else uses it.",
    )
    variable = variable_field(required=False)
    pg_variables = pg_variables_field()
    extensions = extensions_field()
    encoding = forms.ChoiceField(choices=ENCODINGS, initial="UTF8", help_text="It cannot be changed later.")
    locale = forms.CharField(
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "C.UTF-8"}),
        help_text="How text is sorted, such as de_DE.UTF-8. Empty: C.UTF-8 where the server has it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["deployment"].queryset = deployments()  # type: ignore[attr-defined]
        self.fields.update(limit_fields())

    def clean(self) -> None:
        data = self.cleaned_data
        if data.get("deployment") and not data.get("variable"):
            self.add_error("variable", "Say what the app reads the address from, such as DATABASE_URL.")

    def given(self) -> dict[str, Any]:
        """What the service is given, besides who asks."""
        data = dict(self.cleaned_data)
        variable, deployment = data.pop("variable"), data["deployment"]
        return {
            **data,
            "attach_as": variable if deployment else None,
            "pg_variables": bool(deployment) and data["pg_variables"],
        }


class RegisterForm(ServiceForm):
    name = forms.CharField(
        max_length=LONGEST_NAME,
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "reporting", "autofocus": True}),
        help_text="For these pages: small letters, digits and hyphens.",
    )
    url = forms.CharField(
        label="Address",
        max_length=2000,
        widget=forms.PasswordInput(attrs={**PLAIN, "autocomplete": "off"}),
        help_text="postgresql://role:password@host:5432/name. Stored encrypted; Bakery looks whether it answers.",
    )


class AttachForm(ServiceForm):
    """A deployment for a database, or a database for a deployment: which one is asked for, the page knows."""

    variable = variable_field()
    pg_variables = pg_variables_field()

    def __init__(
        self, *args: Any, database: Database | None = None, deployment: Deployment | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if database:
            found = deployments()
            choice = forms.ModelChoiceField(found, label="Deployment", empty_label="Choose one")
        else:
            usable = Database.objects.for_list().exclude(state="dropping").exclude(state="failed")
            choice = forms.ModelChoiceField(usable, label="Database", empty_label="Choose one")
        self.subject = "deployment" if database else "database"
        self.fields = {self.subject: choice, **self.fields}

    @property
    def choice(self) -> forms.BoundField:
        return self[self.subject]


class LimitsForm(ServiceForm):
    extensions = extensions_field()

    def __init__(self, database: Database, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {name: getattr(database, name) for name in (*LIMITS, "extensions")}
        super().__init__(*args, **kwargs)
        self.fields = {**limit_fields(), **self.fields}

    def changes(self) -> dict[str, Any]:
        """What was changed, so that a setting that somebody else changed meanwhile stays."""
        return {name: self.cleaned_data[name] for name in self.changed_data if name in self.cleaned_data}


class TypedNameForm(ServiceForm):
    """The name of what is about to go, typed by who means it."""

    name = forms.CharField(strip=True)

    def __init__(self, expected: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.expected = expected

    def clean_name(self) -> str:
        typed = str(self.cleaned_data["name"])
        if typed != self.expected:
            raise ValidationError(f"Type “{self.expected}” to confirm.")
        return typed


class DropForm(TypedNameForm):
    backup_first = forms.BooleanField(required=False)
