"""What pages say of a name and of a certificate: from the database alone, in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from domains.models import Certificate, Domain, Verdict
from domains.models.domain import ATTENTION_BEFORE_EXPIRY
from domains.services.eligibility import is_public
from domains.services.instructions import Instructions
from domains.services.verification import is_local
from infrastructure.hostnames import display


@dataclass(frozen=True)
class Said:
    """A state as a badge: ``tone`` is its colour, ``icon`` its shape, so that neither is needed alone."""

    tone: str
    icon: str
    words: str
    detail: str = ""


@dataclass
class Name:
    """One name as a page shows it."""

    domain: Domain
    https: Said
    instructions: Instructions | None = None
    is_open: bool = False  # whether what to do about its DNS is shown at once

    @property
    def display(self) -> str:
        return display(self.domain.hostname)

    @property
    def a_label(self) -> str:
        """The form that DNS has, where it is another one than what is shown."""
        return "" if self.display == self.domain.hostname else self.domain.hostname

    @property
    def verdict(self) -> Said:
        return verdict_of(self.domain)

    @property
    def url(self) -> str:
        return (
            ""
            if self.domain.is_wildcard
            else url_of_name(self.domain.hostname, secure=self.https.words.startswith("HTTPS"))
        )

    @property
    def is_local(self) -> bool:
        """Whether it stays on this machine, so that there is no DNS to look at."""
        return is_local(self.domain.hostname)

    @property
    def needs_dns(self) -> bool:
        return not self.is_local and self.domain.verdict != Verdict.RIGHT

    @property
    def findings(self) -> list[dict[str, Any]]:
        """Of the last look, the gravest first, each with ``tone`` and ``icon``."""
        found = self.domain.report.get("findings", [])
        return [{**finding, **GRAVITY.get(finding.get("severity", ""), GRAVITY["info"])} for finding in found]

    @property
    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.domain.report.get("records", [])
        return found


# The severity of a finding (infrastructure.dns.findings) -> how it looks.
GRAVITY = {
    "error": {"tone": "red", "icon": "error"},
    "warning": {"tone": "amber", "icon": "warning"},
    "info": {"tone": "grey", "icon": "info"},
}
VERDICTS = {
    Verdict.UNCHECKED: ("grey", "state-waiting"),
    Verdict.RIGHT: ("green", "check"),
    Verdict.WRONG: ("amber", "warning"),
    Verdict.UNCLEAR: ("amber", "state-never"),
}


def verdict_of(domain: Domain) -> Said:
    if is_local(domain.hostname):
        return Said("grey", "check", "On this machine", "Names that end in localhost need no DNS record.")
    verdict = Verdict(domain.verdict)
    tone, icon = VERDICTS[verdict]
    return Said(tone, icon, verdict.label)


def https_of(domain: Domain, certificate: Certificate | None) -> Said:
    """Whether visitors of this name arrive by HTTPS, as it was last seen."""
    if not is_public(domain.hostname):
        return Said("grey", "state-never", "HTTP", "Certificate authorities issue none for names of this kind.")
    if domain.served_problem:
        return Said("red", "cross", "Not served right", domain.served_problem)
    if certificate is None or not certificate.is_installed:
        return Said("grey", "state-never", "No certificate")
    if not certificate.covers(domain.hostname):
        return Said("grey", "state-never", "Not in the certificate")
    if certificate.not_after and certificate.not_after <= timezone.now():
        return Said("red", "cross", "Expired")
    if certificate.revoked_at:
        return Said("red", "cross", "Revoked")
    left = days_left(certificate.not_after)
    detail = f"{left} day{'' if left == 1 else 's'} left"
    late = certificate.not_after is not None and certificate.not_after <= timezone.now() + ATTENTION_BEFORE_EXPIRY
    return Said("amber", "warning", "HTTPS ends soon", detail) if late else Said("green", "lock", "HTTPS", detail)


def certificate_state(certificate: Certificate | None) -> Said:
    """The certificate of a place in one badge."""
    if certificate is None or not certificate.is_installed:
        failed = certificate is not None and certificate.error_message
        return Said("red", "cross", "Not issued") if failed else Said("grey", "state-never", "None")
    if certificate.revoked_at:
        return Said("red", "cross", "Revoked")
    now = timezone.now()
    if certificate.not_after and certificate.not_after <= now:
        return Said("red", "cross", "Expired")
    if certificate.not_after and certificate.not_after <= now + ATTENTION_BEFORE_EXPIRY:
        return Said("amber", "warning", "Ends soon")
    return Said("green", "lock", "Valid")


def days_left(moment: datetime | None) -> int:
    return max(0, (moment - timezone.now()).days) if moment else 0


def url_of_name(hostname: str, *, secure: bool) -> str:
    port = settings.BAKERY.https_port if secure else settings.BAKERY.http_port
    usual = 443 if secure else 80
    return f"http{'s' if secure else ''}://{hostname}{'' if port == usual else f':{port}'}/"
