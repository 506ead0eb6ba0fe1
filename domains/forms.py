from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from bakery.service_forms import PLAIN, SecretTextarea, ServiceForm
from domains.models import Certificate, Challenge, DnsProvider, Domain
from infrastructure.certbot.dns_plugins import PLUGINS, DnsPlugin

LARGEST_FILE = 256 * 1024  # bytes; a chain with its key has some 10 kB

# Seconds of Strict-Transport-Security, with what they mean. It cannot be taken back before it has run out.
HSTS = (
    (0, "Off"),
    (300, "5 minutes, to try it"),
    (86_400, "1 day"),
    (2_592_000, "30 days"),
    (31_536_000, "1 year"),
    (63_072_000, "2 years"),
)


class AddNameForm(ServiceForm):
    hostname = forms.CharField(
        label="Name",
        strip=False,  # the service says what is wrong with what was typed
        widget=forms.TextInput(attrs={**PLAIN, "placeholder": "shop.example.com", "inputmode": "url"}),
        help_text="Without https://. “*.example.com” stands for all names below example.com.",
        error_messages={"required": "Type a name such as shop.example.com."},
    )
    counterpart = forms.BooleanField(
        required=False,
        initial=True,
        label="And its other half, redirected",
        help_text="www.example.com with example.com, or the other way round: it redirects to the primary name.",
    )


class NameSettingsForm(ServiceForm):
    hsts_seconds = forms.TypedChoiceField(
        label="Strict-Transport-Security",
        coerce=int,
        choices=HSTS,
        help_text="Browsers that were here keep to https:// for so long. It cannot be taken back before: begin small.",
    )
    max_body_mb = forms.IntegerField(
        label="Largest request body, MiB", required=False, min_value=1, max_value=102_400,
        help_text="Uploads that are larger are refused. Empty: what the deployment's settings say.",
    )  # fmt: skip
    maintenance = forms.BooleanField(
        label="Maintenance page",
        required=False,
        help_text="Visitors of this name see a page that says so (503). The app goes on running.",
    )
    auth_user = forms.CharField(
        label="User name",
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs=PLAIN),
        help_text="Empty: nobody is asked for a password.",
    )
    auth_password = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored as a hash alone.",
    )
    allowed_networks = forms.CharField(
        label="Only from these addresses",
        required=False,
        widget=forms.Textarea(attrs={**PLAIN, "rows": 3, "placeholder": "203.0.113.0/24\n2001:db8::/32"}),
        help_text="One address or network per line. Empty: everybody may come.",
    )
    headers = forms.CharField(
        label="Response headers",
        required=False,
        widget=forms.Textarea(attrs={**PLAIN, "rows": 3, "placeholder": "X-Robots-Tag: noindex"}),
        help_text="One “Name: value” per line. They are added to every answer.",
    )

    def __init__(self, domain: Domain, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "hsts_seconds": domain.hsts_seconds,
            "max_body_mb": domain.max_body_mb,
            "maintenance": domain.maintenance,
            "auth_user": domain.auth_user,
            "allowed_networks": "\n".join(domain.allowed_networks),
            "headers": "\n".join(f"{name}: {value}" for name, value in domain.headers.items()),
        }
        super().__init__(*args, **kwargs)
        self.domain = domain
        if domain.hsts_seconds not in dict(HSTS):  # set by a command or the API
            field = self.fields["hsts_seconds"]
            field.choices = [*HSTS, (domain.hsts_seconds, f"{domain.hsts_seconds} seconds")]  # type: ignore[attr-defined]
        if domain.auth_hash:
            self.fields["auth_password"].help_text = "Empty: the password stays as it is. Stored as a hash alone."

    def clean_allowed_networks(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["allowed_networks"].splitlines() if line.strip()]

    def clean_headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for number, line in enumerate(self.cleaned_data["headers"].splitlines(), start=1):
            if not line.strip():
                continue
            name, colon, value = line.partition(":")
            if not colon:
                raise ValidationError(f"Line {number} has no colon. A header looks like “X-Robots-Tag: noindex”.")
            if name.strip() in found:
                raise ValidationError(f"Line {number}: {name.strip()} is there twice.")
            found[name.strip()] = value.strip()
        return found

    def clean(self) -> None:
        data = self.cleaned_data
        if data.get("auth_user") and not data.get("auth_password") and not self.domain.auth_hash:
            self.add_error("auth_password", "Type a password as well: without one everybody would get in.")
        if data.get("auth_password") and not data.get("auth_user"):
            self.add_error("auth_user", "Type the user name that goes with the password.")

    def changes(self) -> dict[str, Any]:
        """What the service is given. A password that was not typed is none of it."""
        found = dict(self.cleaned_data)
        if not found["auth_password"] and found["auth_user"]:
            del found["auth_password"]
        return found


class IssuingForm(ServiceForm):
    automatic = forms.BooleanField(
        required=False,
        label="Issue and renew it by itself",
        help_text="As soon as the DNS of a name is right, and a month before it ends.",
    )
    challenge = forms.ChoiceField(label="How the names are proven", choices=Challenge.choices)
    dns_provider = forms.ModelChoiceField(
        DnsProvider.objects.none(), label="DNS provider", required=False, empty_label="None"
    )

    def __init__(self, *args: Any, certificate: Certificate | None = None, **kwargs: Any) -> None:
        kwargs["initial"] = {
            "automatic": certificate.automatic if certificate else True,
            "challenge": certificate.challenge if certificate else Challenge.HTTP,
            "dns_provider": certificate.dns_provider_id if certificate else None,
        }
        super().__init__(*args, **kwargs)
        self.fields["dns_provider"].queryset = DnsProvider.objects.defer("credentials").order_by("name")  # type: ignore[attr-defined]


class UploadForm(ServiceForm):
    """A certificate and its key, pasted or as files. Neither is ever shown again."""

    chain = forms.CharField(
        label="Certificate, then the chain",
        required=False,
        widget=forms.Textarea(attrs={**PLAIN, "rows": 5, "placeholder": "-----BEGIN CERTIFICATE-----"}),
        help_text="PEM: the certificate first, then the intermediate ones.",
    )
    chain_file = forms.FileField(label="or as a file", required=False)
    key = forms.CharField(
        label="Private key",
        required=False,
        widget=SecretTextarea(attrs={**PLAIN, "rows": 5, "placeholder": "-----BEGIN PRIVATE KEY-----"}),
        help_text="PEM. It is never shown again.",
    )
    key_file = forms.FileField(label="or as a file", required=False)
    passphrase = forms.CharField(
        label="Passphrase of the key",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Only where the key has one.",
    )

    def clean(self) -> None:
        for name, missing in (("chain", "the certificate"), ("key", "its private key")):
            upload = self.cleaned_data.get(f"{name}_file")
            if upload is not None:
                if upload.size > LARGEST_FILE:
                    self.add_error(f"{name}_file", "That is larger than any certificate. Choose the PEM file.")
                    continue
                self.cleaned_data[name] = upload.read()
            else:
                self.cleaned_data[name] = (self.cleaned_data.get(name) or "").encode()
            if not self.cleaned_data[name].strip():
                self.add_error(name, f"Paste {missing} here, or choose its file.")


class ProviderForm(ServiceForm):
    """Credentials of one of Certbot's DNS plugins. What is stored is replaced, never shown."""

    name = forms.CharField(
        label="Name", max_length=60, help_text="What certificates choose it by.", widget=forms.TextInput(attrs=PLAIN)
    )
    plugin = forms.ChoiceField(label="Provider")
    credentials = forms.CharField(
        label="Credentials",
        strip=False,
        max_length=65_536,
        widget=forms.Textarea(attrs={**PLAIN, "rows": 6}),
        help_text="What Certbot's plugin reads from its credentials file. Stored encrypted, never shown again.",
    )

    def __init__(self, *args: Any, provider: DnsProvider | None = None, **kwargs: Any) -> None:
        if provider:
            kwargs["initial"] = {"plugin": provider.plugin}
        super().__init__(*args, **kwargs)
        if provider:  # certificates know it by its name
            del self.fields["name"]
        self.fields["plugin"].choices = [(each.name, each.label) for each in self.plugins]  # type: ignore[attr-defined]

    @property
    def plugins(self) -> list[DnsPlugin]:
        return sorted(PLUGINS.values(), key=lambda plugin: plugin.label)

    def clean_credentials(self) -> str:
        # A browser sends line ends as CRLF; a credentials file with those would not be understood.
        return str(self.cleaned_data["credentials"]).replace("\r\n", "\n")


class ListFilter(forms.Form):
    """The filters of the list of all names. What cannot be understood filters nothing."""

    q = forms.CharField(required=False, max_length=253)
    show = forms.ChoiceField(
        label="Show",
        required=False,
        choices=[
            ("", "All names"),
            ("attention", "Needs attention"),
            ("wrong", "DNS not right"),
            ("https", "With a certificate"),
            ("plain", "Without a certificate"),
        ],
    )
