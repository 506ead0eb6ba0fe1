"""Certbot's plugins that prove a name by a DNS record, as Debian packages them: one row each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.errors import Refused


@dataclass(frozen=True)
class DnsPlugin:
    """``required``: the keys that its credentials file must hold. ``example``: such a file, to begin from."""

    name: str
    label: str
    required: tuple[str, ...]
    example: str
    propagation: int = 60  # seconds that a record takes to be seen by the certificate authority
    form: str = "ini"
    # Most are told the path of the file by an option; this one reads it from where its library looks for it.
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def package(self) -> str:
        return f"python3-certbot-dns-{self.name}"

    def arguments(self, credentials: Path, propagation: int | None = None) -> list[str]:
        option = f"--dns-{self.name}"
        argv = ["--authenticator", f"dns-{self.name}"]
        if not self.environment:
            seconds = self.propagation if propagation is None else propagation
            argv += [f"{option}-credentials", str(credentials), f"{option}-propagation-seconds", str(seconds)]
        return argv

    def variables(self, credentials: Path) -> dict[str, str]:
        return {name: str(credentials) for name in self.environment}

    def check(self, text: str) -> None:
        """Raise ``Refused`` when ``text`` cannot be its credentials file."""
        if "\0" in text or len(text) > 64 * 1024:
            raise Refused("dns-provider.credentials", "These credentials are no text file.", f"Enter:\n{self.example}")
        found = json_keys(text) if self.form == "json" else ini_keys(text)
        if missing := [key for key in self.required if key not in found]:
            raise Refused(
                "dns-provider.credentials",
                f"The credentials of {self.label} lack {', '.join(missing)}.",
                f"They look like this:\n{self.example}",
            )


def ini_keys(text: str) -> set[str]:
    return {match[1] for match in re.finditer(r"^\s*([A-Za-z0-9_]+)\s*=\s*\S", text, re.MULTILINE)}


def json_keys(text: str) -> set[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return set()
    return set(found) if isinstance(found, dict) else set()


def secret_values(text: str) -> list[str]:
    """Everything in a credentials file that must not turn up in a log."""
    values = [match[1].strip().strip("'\"") for match in re.finditer(r"^[^#=\n]+=(.*)$", text, re.MULTILINE)]
    try:
        found = json.loads(text)
    except ValueError:
        return values
    return values + [value for value in found.values() if isinstance(value, str)] if isinstance(found, dict) else values


def _ini(name: str, label: str, keys: Mapping[str, str], propagation: int = 60) -> DnsPlugin:
    full = {f"dns_{name}_{key}": value for key, value in keys.items()}
    example = "\n".join(f"{key} = {value}" for key, value in full.items())
    return DnsPlugin(name, label, tuple(full), example, propagation)


PLUGINS = {
    plugin.name: plugin
    for plugin in (
        _ini("cloudflare", "Cloudflare", {"api_token": "0123456789abcdef0123456789abcdef01234567"}, 30),
        _ini("digitalocean", "DigitalOcean", {"token": "0000111122223333444455556666777788889999"}, 30),
        _ini("dnsimple", "DNSimple", {"token": "MDAwMTExMjIyMzMzNDQ0NTU1NjY2Nzc3"}),
        _ini("gandi", "Gandi LiveDNS", {"token": "PERSONAL_ACCESS_TOKEN"}),
        _ini("gehirn", "Gehirn", {"api_token": "00000000-0000-0000-0000-000000000000", "api_secret": "SECRET"}),
        DnsPlugin(
            "google",
            "Google Cloud DNS",
            ("type", "project_id", "private_key", "client_email"),
            '{"type": "service_account", "project_id": "…", "private_key": "…", "client_email": "…"}',
            form="json",
        ),
        _ini("linode", "Linode", {"key": "0123456789abcdef0123456789abcdef"}, 180),
        _ini(
            "ovh",
            "OVH",
            {
                "endpoint": "ovh-eu",
                "application_key": "MDAwMDAwMDAwMDAw",
                "application_secret": "MDAwMTExMjIyMzMz",
                "consumer_key": "MDAwMTExMjIyMzMzNDQ0",
            },
            120,
        ),
        _ini(
            "rfc2136",
            "Your own name server (RFC 2136)",
            {"server": "192.0.2.1", "name": "keyname.", "secret": "TSIG_KEY_IN_BASE64", "algorithm": "HMAC-SHA512"},
        ),
        DnsPlugin(
            "route53",
            "Amazon Route 53",
            ("aws_access_key_id", "aws_secret_access_key"),
            "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = SECRET",
            environment={"AWS_SHARED_CREDENTIALS_FILE": ""},
        ),
        _ini("sakuracloud", "Sakura Cloud", {"api_token": "00000000-0000", "api_secret": "SECRET"}, 90),
    )
}


def plugin_called(name: str) -> DnsPlugin:
    try:
        return PLUGINS[name]
    except KeyError:
        raise Refused(
            "dns-provider.unknown",
            f"Bakery knows no DNS plugin called {name}.",
            f"There are: {', '.join(sorted(PLUGINS))}.",
        ) from None
