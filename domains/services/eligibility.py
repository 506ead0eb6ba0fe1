"""Which of its names a certificate can hold now, and why not the others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from deployments.models import Deployment
from domains.models import Certificate, Challenge, Domain, Source, Verdict
from infrastructure.hostnames import display

# <name>.<address>.sslip.io and the like are for trying: they share one budget at the certificate authority.
OF_AN_ADDRESS = re.compile(r"(^|\.)(?:\d{1,3}[.-]){3}\d{1,3}\.|\.(sslip|nip|xip)\.io$")
LOCAL = re.compile(r"(^|\.)(localhost|local)$")
# Failures that one name alone can bring about for all of them.
OF_A_NAME = {"acme.dns", "acme.caa", "acme.connection", "acme.unauthorized", "acme.tls", "acme.rejected-name"}
WHY = {
    Verdict.UNCHECKED: "its DNS was not looked at yet",
    Verdict.WRONG: "its DNS does not lead here",
    Verdict.UNCLEAR: "its DNS does not answer",
}


@dataclass(frozen=True)
class Chosen:
    """``ready``: in the order in which they are asked for. ``left_out``: name to reason."""

    ready: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)


def domains_of(deployment: Deployment | None) -> list[Domain]:
    return list(Domain.objects.filter(deployment=deployment))


def is_public(name: str) -> bool:
    """Whether an authority issues for it at all."""
    return not LOCAL.search(name) and not OF_AN_ADDRESS.search(name)


def choose(certificate: Certificate | None, domains: Iterable[Domain], *, override_dns: bool = False) -> Chosen:
    """A name that the certificate holds already was proven once, so it is tried again whatever its DNS looks like (a
    proxy may stand before it); when that has failed, it is left out while its DNS is wrong, for the others' sake."""
    ready: list[str] = []
    left_out: dict[str, str] = {}
    for domain in domains:
        name = domain.hostname
        if not is_public(name):
            if not domain.generated:
                left_out[name] = "certificate authorities issue none for names of this kind"
        elif _can_be_proven(domain, certificate, override_dns):
            ready.append(name)
        elif domain.is_wildcard:
            left_out[name] = "a wildcard is proven by a DNS record: choose that, and a DNS provider"
        else:
            left_out[name] = WHY[Verdict(domain.verdict)]
    # An authority refuses a name beside the wildcard that holds it (Boulder: “redundant with a wildcard”).
    wildcards = {name for name in ready if name.startswith("*.")}
    kept = [name for name in ready if name in wildcards or f"*.{name.partition('.')[2]}" not in wildcards]
    return Chosen(tuple(kept), left_out)


def _can_be_proven(domain: Domain, certificate: Certificate | None, override_dns: bool) -> bool:
    if certificate is not None and certificate.challenge == Challenge.DNS:
        return True
    if domain.is_wildcard:
        return False
    if override_dns or domain.verdict == Verdict.RIGHT:
        return True
    if certificate is None or certificate.source != Source.CERTBOT or domain.hostname not in certificate.names:
        return False
    return domain.verdict != Verdict.WRONG or certificate.error_id not in OF_A_NAME


def covers(names: Iterable[str], wanted: str) -> bool:
    held = set(names)
    return wanted in held or (not wanted.startswith("*.") and f"*.{wanted.partition('.')[2]}" in held)


def covers_all(names: Iterable[str], wanted: Iterable[str]) -> bool:
    held = set(names)
    return all(covers(held, name) for name in wanted)


def told(left_out: dict[str, str]) -> str:
    """As a sentence."""
    return "; ".join(f"{display(name)}: {why}" for name, why in left_out.items())
