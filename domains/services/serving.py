"""Has Nginx serve the names with their certificate, and looks by a TLS handshake whether it does."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.utils import timezone

from accounts.models import User
from bakery.events import announce
from deployments.models import Deployment
from deployments.services import requests
from domains.models import Certificate, Domain
from domains.services.panel import apply_panel
from infrastructure.certificates.handshake import Shown, shown
from infrastructure.certificates.pem import Facts


def apply_names(deployment: Deployment | None, *, by: User | None) -> None:
    """Bring Nginx to which names have HTTPS now. For a deployment the release engine does it, with its lease."""
    if deployment is not None:
        requests.apply_routes(deployment, by=by)
        return
    apply_panel()


def look_at(certificate: Certificate, names: Iterable[str]) -> list[str]:
    """Look at each name and write down what is served there; returns those where it is not this certificate."""
    return [
        domain.hostname
        for domain in Domain.objects.filter(hostname__in=list(names))
        if not look_at_one(domain, certificate)
    ]


def look_at_one(domain: Domain, certificate: Certificate) -> bool:
    """Whether Nginx shows the certificate that is installed. Why not stands in ``served_problem``."""
    seen: Shown | None = None
    try:
        seen = shown(domain.hostname, settings.BAKERY.https_port)
    except (OSError, ValueError) as error:
        problem, serves = f"no TLS handshake: {error}", False
    else:
        problem, serves = _judge(domain.hostname, seen, certificate)
    changes = {
        "served_fingerprint": seen.facts.fingerprint if seen else "",
        "served_until": seen.facts.not_after if seen else None,
        "served_problem": problem,
    }
    changed = any(getattr(domain, name) != value for name, value in changes.items())
    Domain.objects.filter(pk=domain.pk).update(**changes, served_at=timezone.now())
    if changed:
        announce("domain", domain.pk)
    return serves


def _judge(name: str, seen: Shown, certificate: Certificate) -> tuple[str, bool]:
    """What is wrong in words, "" when nothing is, and whether it is the one that is installed."""
    facts = seen.facts
    if not facts.covers(name):
        return f"another certificate is shown, for {_names(facts)}", False
    if facts.fingerprint != certificate.fingerprint:
        return "another certificate is shown than the one that is installed", False
    if facts.not_after <= timezone.now():
        return f"it has expired on {facts.not_after:%d %B %Y}", True
    if seen.distrust:
        return f"browsers may not trust it: {seen.distrust}", True
    return "", True


def _names(facts: Facts) -> str:
    return ", ".join(facts.names[:3]) or "no name"
