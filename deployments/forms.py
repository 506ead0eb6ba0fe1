from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from deployments.models import Deployment, EnvVar
from deployments.services.env import parse_dotenv
from infrastructure.errors import Problem

# The settings in the groups in which the pages show them.
SOURCE = ("repository", "branch", "base_directory")
RUNTIME = ("runtime", "build_command", "start_command", "pre_deploy_command", "container_port")
SWITCH = ("blue_green", "one_writer", "health_path", "probe_timeout", "drain_seconds", "grace_seconds", "watch_seconds")
LIMITS = ("memory_mb", "cpu_percent", "max_processes", "build_memory_mb", "build_disk_mb", "build_timeout")
WEB = ("request_timeout", "max_body_mb")
SETTINGS = (*SOURCE, *RUNTIME, *SWITCH, *LIMITS, *WEB)
COMMANDS = ("build_command", "start_command", "pre_deploy_command")

LABELS = {
    "base_directory": "Base directory",
    "pre_deploy_command": "Pre-deploy command",
    "blue_green": "Blue-green",
    "one_writer": "One writer at a time",
    "health_path": "Health path",
    "probe_timeout": "Time to answer, seconds",
    "drain_seconds": "Drain time, seconds",
    "grace_seconds": "Grace time, seconds",
    "watch_seconds": "Watch time, seconds",
    "memory_mb": "Memory, MiB",
    "cpu_percent": "CPU, per cent of one core",
    "max_processes": "Processes and threads",
    "build_memory_mb": "Memory of a build, MiB",
    "build_disk_mb": "Disk of a build, MiB",
    "build_timeout": "Time for a build, seconds",
    "request_timeout": "Request timeout, seconds",
    "max_body_mb": "Largest request body, MiB",
}
HELP = {
    "name": "It becomes the first part of the address. Small letters, digits and hyphens; it cannot be changed later.",
    "repository": "The address for cloning, such as https://github.com/owner/name.git",
    "branch": "What a deploy takes when nothing else is asked for.",
    "base_directory": "Where the app is in the repository, for monorepos. Empty: the root.",
    "build_command": "Empty: bun run build, where there is such a script; the Dockerfile decides for Docker.",
    "start_command": "Empty: bun run start; the image's own command for Docker.",
    "probe_timeout": "How long a new release may take until it answers.",
    "drain_seconds": "How long the old release may finish its requests.",
    "grace_seconds": "Between SIGTERM and SIGKILL.",
    "watch_seconds": "How long a new release is watched. When it dies, the old one comes back.",
    "memory_mb": "The app is ended when it takes more.",
    "cpu_percent": "100 is one whole core.",
    "max_processes": "",
    "build_memory_mb": "",
    "build_disk_mb": "A clone or a build that writes more is ended.",
    "build_timeout": "",
    "request_timeout": "How long Nginx waits for the app between two reads.",
    "max_body_mb": "Uploads that are larger are refused.",
}


def label_of(change: str) -> str:
    """What ``not_live_yet`` names (``memory mb``, ``env API_KEY``) in the words of the form."""
    if change.startswith("env "):
        return change.removeprefix("env ")
    return LABELS.get(change.replace(" ", "_"), change.capitalize()).split(",")[0]


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    """The settings of a deployment. The services check and save them; this shows them and gives errors a place."""

    persistent = forms.CharField(
        label="Persistent directories",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "data\nuploads"}),
        help_text="One path inside the app per line. They outlive releases.",
    )

    class Meta:
        model = Deployment
        fields = SETTINGS
        labels = LABELS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, text in HELP.items():
            if name in self.fields:
                self.fields[name].help_text = text
        for name in ("repository", "branch", "base_directory", "health_path", *COMMANDS):
            self.fields[name].widget.attrs.update({"class": "mono", "spellcheck": "false", "autocapitalize": "off"})
        if self.instance.pk and "persistent" not in self.data:
            self.initial["persistent"] = "\n".join(d.path for d in self.instance.persistent_directories.all())

    def _post_clean(self) -> None:
        """Nothing is written into the instance here: the service checks and changes a row that it has locked."""

    def changes(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SETTINGS if name in self.cleaned_data}

    def persistent_paths(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["persistent"].splitlines() if line.strip()]

    def take(self, problem: ValidationError | Problem) -> None:
        """Put what a service refused beside its field, or on top where it is about no field of this form."""
        if isinstance(problem, Problem):
            self.add_error(None, f"{problem.message} {problem.hint}".strip())
        elif hasattr(problem, "error_dict"):
            for name, errors in problem.error_dict.items():
                self.add_error(name if name in self.fields else None, errors)
        else:
            self.add_error(None, problem)


class NewDeploymentForm(SettingsForm):
    database = forms.BooleanField(
        label="PostgreSQL database",
        required=False,
        help_text="Made for it on this server, with its address in DATABASE_URL.",
    )
    env = forms.CharField(
        label="Environment variables",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 6,
                "spellcheck": "false",
                "autocomplete": "off",
                "placeholder": "DATABASE_URL=postgres://…\nAPI_KEY=…",
            }
        ),
        help_text="Paste a .env file. The values are stored encrypted.",
    )

    class Meta(SettingsForm.Meta):
        fields = ("name", *SETTINGS)  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs.update(
            {"class": "mono", "spellcheck": "false", "autocapitalize": "off", "autofocus": True, "placeholder": "shop"}
        )
        self.fields["repository"].widget.attrs["placeholder"] = "https://github.com/owner/name.git"

    def clean_env(self) -> dict[str, str]:
        return _parsed(self.cleaned_data["env"])


class VariableForm(forms.Form):
    name = forms.CharField(
        max_length=200,
        widget=forms.TextInput(
            attrs={"class": "mono", "spellcheck": "false", "autocapitalize": "off", "autocomplete": "off"}
        ),
    )
    value = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"class": "one-line", "rows": 1, "spellcheck": "false", "autocomplete": "off"}),
    )
    build_time = forms.BooleanField(
        required=False, initial=True, label="Build", help_text=EnvVar._meta.get_field("build_time").help_text
    )
    run_time = forms.BooleanField(
        required=False, initial=True, label="Run", help_text=EnvVar._meta.get_field("run_time").help_text
    )

    def clean_value(self) -> str:
        # A browser sends line ends as CRLF; a PEM key or a script with those would not work.
        return str(self.cleaned_data["value"]).replace("\r\n", "\n")

    def clean(self) -> None:
        if not (self.cleaned_data.get("build_time") or self.cleaned_data.get("run_time")):
            self.add_error("run_time", "Choose build, run or both: otherwise nothing would ever see it.")


class DotenvForm(forms.Form):
    text = forms.CharField(
        label=".env file",
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 8,
                "spellcheck": "false",
                "autocomplete": "off",
                "placeholder": "# comments are fine\nAPI_KEY=…",
            }
        ),
        help_text="Names that exist are replaced, others are added; nothing is removed.",
    )

    def clean_text(self) -> dict[str, str]:
        values = _parsed(self.cleaned_data["text"])
        if not values:
            raise ValidationError("There is no NAME=value in it.")
        return values


def _parsed(text: str) -> dict[str, str]:
    try:
        return parse_dotenv(text)
    except Problem as problem:
        raise ValidationError(f"{problem.message} {problem.hint}".strip()) from problem
