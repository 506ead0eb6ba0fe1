"""What to type into the form of whoever serves a name's DNS: rows of Type, Host, Value, TTL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from domains.models import Domain
from infrastructure.hostnames import DomainName, display

TTL = 300  # seconds: a mistake is over soon


@dataclass(frozen=True)
class Record:
    type: str
    host: str  # relative to the registered domain, "@" for that itself: as registrars' forms ask for it
    name: str  # the whole name, for forms that ask for that
    value: str
    ttl: int = TTL


@dataclass(frozen=True)
class Instructions:
    zone: str  # the registered domain, as people read it: where the records are made
    records: tuple[Record, ...]
    alternative: tuple[Record, ...] = ()  # one CNAME in the place of all records
    changes: tuple[dict[str, str], ...] = ()  # what the last look found in the way: see judging.Change
    problem: str = ""  # why no record can be named


def instructions_for(domain: Domain, siblings: Iterable[Domain] | None = None) -> Instructions:
    """``siblings``: all names of the same deployment, where somebody has them already."""
    bakery = settings.BAKERY
    name = DomainName(domain.hostname)
    addresses = [("A", bakery.public_ip), ("AAAA", bakery.public_ipv6)]
    records = tuple(Record(kind, name.host_part, name, value) for kind, value in addresses if value)
    problem = "" if records else "Bakery does not know this server's public address: set BAKERY_PUBLIC_IP."
    return Instructions(
        zone=display(name.registered),
        records=records,
        alternative=_alias(domain, name, siblings),
        changes=tuple(domain.report.get("changes", ())),
        problem=problem,
    )


def _alias(domain: Domain, name: DomainName, siblings: Iterable[Domain] | None) -> tuple[Record, ...]:
    """A CNAME follows the server when its address changes. The apex can have none: it has other records (RFC 1034)."""
    if name == name.registered or name.base == name.registered:
        return ()
    if siblings is None:
        siblings = Domain.objects.filter(deployment=domain.deployment_id)
    target = _stable_name(name, siblings)
    return (Record("CNAME", name.host_part, name, f"{target}."),) if target else ()


def _stable_name(name: DomainName, siblings: Iterable[Domain]) -> str:
    """A name that leads here anyway: the one that Bakery gave, where others can reach it, or the same zone's apex."""
    there = {sibling.hostname: sibling for sibling in siblings if sibling.hostname != name}
    if not settings.BAKERY.apps_domain.endswith("localhost"):
        for sibling in there.values():
            if sibling.generated and sibling.deployment_id:
                return sibling.hostname
    return name.registered if name.registered in there else ""
