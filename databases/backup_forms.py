"""Forms about backups: the plan, the storage, restores, uploads, clones."""

from __future__ import annotations

from datetime import time
from typing import Any

from django import forms

from bakery.service_forms import PLAIN, ServiceForm
from databases.forms import LONGEST_NAME, TypedNameForm, deployments
from databases.models import BackupPlan, Storage
from databases.schedule import NEVER, WEEKDAYS, Every, Schedule, as_cron, read

KEEP = ("keep_last", "keep_daily", "keep_weekly", "keep_monthly")
NUMBERS = (*KEEP, "test_every_days")
MOST = {**dict.fromkeys(KEEP, 1000), "test_every_days": 365}
LABELS = {
    "keep_last": "The newest",
    "keep_daily": "One a day, for days",
    "keep_weekly": "One a week, for weeks",
    "keep_monthly": "One a month, for months",
    "test_every_days": "Try a restore every … days",
}
SECRET = forms.PasswordInput(attrs={"autocomplete": "new-password", "spellcheck": "false"})


class PlanForm(ServiceForm):
    every = forms.ChoiceField(label="Back up", choices=Every.choices)
    at = forms.TimeField(
        label="At",
        required=False,
        widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M"),
        help_text="In UTC. Of an hourly one the minutes count.",
    )
    weekday = forms.ChoiceField(label="On", required=False, choices=WEEKDAYS)
    day = forms.IntegerField(
        label="On day", required=False, min_value=1, max_value=28, help_text="Of the month, 1 to 28."
    )
    cron = forms.CharField(
        label="Schedule",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "30 2 * * 1-5"}),
        help_text="As in crontab: minute, hour, day of the month, month, day of the week.",
    )
    before_deploys = forms.BooleanField(
        required=False,
        label="Before deploys as well",
        help_text="Before a release's pre-deploy command, which is where migrations run. Without a backup no deploy.",
    )
    storage = forms.ModelChoiceField(
        Storage.objects.none(), label="Copy to", required=False, empty_label="Nowhere: kept on this host alone"
    )
    passphrase = forms.CharField(
        required=False,
        strip=False,
        max_length=500,
        widget=SECRET,
        help_text="Backups are encrypted with it. Keep it elsewhere as well: a download is of no use without it.",
    )
    no_passphrase = forms.BooleanField(required=False, label="No longer encrypt backups")

    def __init__(self, plan: BackupPlan | None, *args: Any, **kwargs: Any) -> None:
        self.plan = plan or BackupPlan()
        planned = read(self.plan.schedule) if self.plan.schedule else NEVER
        kwargs["initial"] = {
            **{name: getattr(self.plan, name) for name in (*NUMBERS, "before_deploys", "storage")},
            "every": planned.every,
            "at": planned.at,
            "weekday": planned.weekday,
            "day": planned.day,
            "cron": planned.cron,
        }
        super().__init__(*args, **kwargs)
        for name in NUMBERS:
            self.fields[name] = forms.IntegerField(label=LABELS[name], min_value=0, max_value=MOST[name])
        self.fields["test_every_days"].help_text = "Into a scratch database; tables and rows are compared. 0: never."
        self.fields["storage"].queryset = Storage.objects.defer("secret_key").order_by("name")  # type: ignore[attr-defined]
        if self.is_sealed:
            self.fields["passphrase"].help_text = "One is set and not shown. Empty: it stays."
        else:
            del self.fields["no_passphrase"]

    @property
    def is_sealed(self) -> bool:
        return bool(self.plan.pk and self.plan.passphrase)

    def clean(self) -> None:
        data = self.cleaned_data
        every = data.get("every")
        if every == Every.CRON and not data.get("cron"):
            self.add_error("cron", "Type a schedule such as “30 2 * * *”, or choose another one above.")
        if every in (Every.DAY, Every.WEEK, Every.MONTH) and data.get("at") is None and "at" not in self.errors:
            self.add_error("at", "Say when, in UTC, such as 03:00.")
        if every == Every.MONTH and not data.get("day") and "day" not in self.errors:
            self.add_error("day", "Say on which day of the month, 1 to 28.")

    def changes(self) -> dict[str, Any]:
        """What the service is given. A passphrase that was not typed is none of it."""
        data = self.cleaned_data
        every = Every(data["every"])
        chosen = Schedule(every, data["at"] or time(3), data["weekday"] or "0", data["day"] or 1, data["cron"])
        found = {name: data[name] for name in (*NUMBERS, "before_deploys", "storage")}
        found["cron"] = as_cron(chosen)
        if data.get("no_passphrase"):
            found["passphrase"] = ""
        elif data["passphrase"]:
            found["passphrase"] = data["passphrase"]
        return found


class RestoreForm(TypedNameForm):
    backup_first = forms.BooleanField(required=False)


class DumpForm(RestoreForm):
    dump = forms.FileField(
        label="Dump",
        help_text="From pg_dump: custom format, plain SQL, or either of them gzipped.",
        required=False,
        error_messages={"empty": "That file is empty."},
    )
    # A large one came before, in pieces (uploads.js).
    uploaded = forms.CharField(required=False, max_length=32, widget=forms.HiddenInput())
    uploaded_name = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput())

    def clean(self) -> dict[str, Any] | None:
        data = super().clean()
        if not self.errors and not (self.cleaned_data.get("dump") or self.cleaned_data.get("uploaded")):
            self.add_error("dump", "Choose the file.")
        return data


class CloneForm(ServiceForm):
    name = forms.CharField(
        label="Name of the copy",
        max_length=LONGEST_NAME,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="Small letters, digits, hyphens.",
    )
    deployment = forms.ModelChoiceField(
        deployments().none(), label="For the deployment", required=False, empty_label="None yet"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", "id_copy_%s")  # another form of the page has a name as well
        super().__init__(*args, **kwargs)
        self.fields["deployment"].queryset = deployments()  # type: ignore[attr-defined]


class StorageForm(ServiceForm):
    """A bucket. Its secret key is replaced, never shown."""

    name = forms.CharField(max_length=60, widget=forms.TextInput(attrs=PLAIN), help_text="What plans choose it by.")
    endpoint = forms.CharField(
        max_length=300,
        widget=forms.TextInput(
            attrs={**PLAIN, "placeholder": "https://s3.eu-central-1.amazonaws.com", "inputmode": "url"}
        ),
        help_text="The address of the server that speaks S3.",
    )
    bucket = forms.CharField(
        max_length=63, widget=forms.TextInput(attrs=PLAIN), help_text="It has to be there already."
    )
    region = forms.CharField(
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="Where the server wants to be told.",
    )
    access_key = forms.CharField(label="Access key", max_length=200, widget=forms.TextInput(attrs=PLAIN))
    secret_key = forms.CharField(
        label="Secret key",
        strip=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted, never shown again.",
    )

    def __init__(self, *args: Any, storage: Storage | None = None, **kwargs: Any) -> None:
        if storage:
            kwargs["initial"] = {
                name: getattr(storage, name)
                for name in ("name", "endpoint", "bucket", "prefix", "region", "access_key")
            }
        super().__init__(*args, **kwargs)
        # Here and not above, where a form's own prefix would be hidden.
        self.fields["prefix"] = forms.CharField(
            required=False,
            max_length=200,
            widget=forms.TextInput(attrs=PLAIN),
            help_text="What objects' names begin with.",
        )
        if storage:
            self.fields["secret_key"].required = False
            self.fields["secret_key"].help_text = "Empty: it stays as it is. Stored encrypted, never shown."
