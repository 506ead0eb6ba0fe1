"""From what was seen of a name to a verdict in words: pure functions over ``answers`` and ``arriving``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from infrastructure.dns import caa
from infrastructure.dns.absence import OF_THE_ZONE, nobody_answers, why_absent
from infrastructure.dns.answers import Look, Observation
from infrastructure.dns.arriving import Arrival
from infrastructure.dns.findings import Change, Finding, Here
from infrastructure.dns.pointing import address_findings, addresses_in, not_agreed, servers_that_fail
from infrastructure.hostnames import DomainName

RIGHT, WRONG, UNCLEAR = "right", "wrong", "unclear"
ORDER = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Judgement:
    verdict: str
    findings: tuple[Finding, ...]  # the gravest first
    changes: tuple[Change, ...] = ()
    wait: int = 0  # seconds until caches have run out; 0: nothing is known to run out


def judge(name: DomainName, seen: Observation, here: Here, arrivals: Collection[Arrival]) -> Judgement:
    """``arrivals``: what became of requests to the name's addresses; () where nobody asked."""
    if not any(look.answered for look in seen.looks):
        return Judgement(UNCLEAR, (nobody_answers(seen),))
    telling = _telling(seen)
    arrived = {arrival.address for arrival in arrivals if arrival.arrived}
    late, wait = not_agreed(seen, here, arrived)
    absent = why_absent(name, seen, telling)
    changes: list[Change] = []
    findings: list[Finding] = []
    if absent:
        findings.append(absent)
    elif late:  # the zone is right already
        findings += late
    else:
        findings += address_findings(telling, here, arrived)
        findings += _arrival_findings(here, arrivals)
        if not here.is_known:
            findings.append(_address_unknown(arrived))
    if not late and (absent is None or absent.id not in OF_THE_ZONE):
        changes += _changes(name, telling, here, arrived)
    findings += servers_that_fail(seen)
    findings += caa.findings(name, seen.caa, here.ca)
    changes += caa.changes(name, seen.caa, here.ca)
    grave = sorted(dict.fromkeys(findings), key=lambda finding: ORDER[finding.severity])
    verdict = WRONG if any(finding.severity == "error" for finding in grave) else RIGHT
    if absent and absent.id in OF_THE_ZONE:
        verdict = UNCLEAR
    return Judgement(verdict, tuple(grave), tuple(changes), wait)


def addresses_of(seen: Observation) -> list[str]:
    """Every address that somebody said, each once."""
    said = [value for look in seen.looks for kind in ("A", "AAAA") for value in look.answer(kind).values]
    return list(dict.fromkeys(said))


def _telling(seen: Observation) -> list[Look]:
    """Whom to believe about what the zone holds: its own servers, else the resolvers that answered."""
    own = [look for look in seen.zone_servers if look.answered]
    return own or [look for look in seen.resolvers if look.answered]


def _arrival_findings(here: Here, arrivals: Collection[Arrival]) -> Iterable[Finding]:
    for arrival in arrivals:
        if arrival.arrived or (here.is_known and arrival.address not in here.addresses):
            continue  # what is wrong with an address of others is that it is not ours
        if arrival.address in here.addresses - here.own:
            yield Finding(
                "http.not-seen-from-here",
                "warning",
                f"{arrival.address} {arrival.trouble}, as seen from this server itself.",
                "Behind a router that does not lead back in, that is no fault. Else open the port in the firewall.",
            )
        else:
            hint = "Open port 80 in the firewall, and in the provider's network rules."
            if not arrival.asked:
                hint = "Let the name point to an address that visitors can reach."
            yield Finding("http.not-arrived", "error", f"{arrival.address} {arrival.trouble}.", hint)
    if here.port != 80 and any(arrival.arrived for arrival in arrivals):
        message = f"Requests arrive on port {here.port}; certificate authorities and visitors ask on port 80."
        yield Finding("http.other-port", "warning", message, "Send port 80 there, then set BAKERY_PUBLIC_HTTP_PORT=80.")


def _address_unknown(arrived: set[str]) -> Finding:
    message = "Bakery does not know this server's public address, so it judged by whether a request arrives."
    if not arrived:
        return Finding("dns.address-unknown", "error", f"{message} None did.", "Set BAKERY_PUBLIC_IP.")
    return Finding("dns.address-unknown", "info", message, "Set BAKERY_PUBLIC_IP to be told which records to make.")


def _changes(name: DomainName, telling: list[Look], here: Here, arrived: set[str]) -> Iterable[Change]:
    """The lines of the zone to touch, so that it says what it should and nothing else."""
    if not here.is_known:
        return
    fine = here.addresses | arrived
    alias = next((look.aliases[0] for look in telling if look.aliases), None)
    if alias is not None:
        said = addresses_in(telling, "A") | addresses_in(telling, "AAAA")
        if not said or said - fine:
            yield Change("delete", "CNAME", name.host_part, alias.value)
            yield from (
                Change("add", kind, name.host_part, to=here.of(kind)) for kind in ("A", "AAAA") if here.of(kind)
            )
        return
    nothing = not any(look.addresses for look in telling)
    for kind in ("A", "AAAA"):
        values = addresses_in(telling, kind)
        wrong = sorted(values - fine)
        if here.of(kind) and not values & fine and (kind == "A" or wrong or nothing):
            if wrong:
                yield Change("change", kind, name.host_part, wrong.pop(0), here.of(kind))
            else:
                yield Change("add", kind, name.host_part, to=here.of(kind))
        yield from (Change("delete", kind, name.host_part, value) for value in wrong)
