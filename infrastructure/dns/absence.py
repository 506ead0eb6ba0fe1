"""Why a name has no address at all."""

from __future__ import annotations

from infrastructure.dns.answers import Look, Observation, Trouble
from infrastructure.dns.findings import Finding
from infrastructure.hostnames import DomainName, display

OF_THE_ZONE = ("dns.dnssec", "dns.servfail")  # nothing can be said of the name itself


def nobody_answers(seen: Observation) -> Finding:
    asked = ", ".join(look.server for look in seen.looks)
    return Finding(
        "dns.unreachable",
        "error",
        f"None of the DNS servers answers that were asked ({asked}).",
        "Look whether this server reaches port 53 of others; BAKERY_DNS_RESOLVERS names who is asked.",
    )


def why_absent(name: DomainName, seen: Observation, telling: list[Look]) -> Finding | None:
    """``telling``: whom to believe about what the zone holds. None: it has an address that visitors can find."""
    resolvers = [look for look in seen.resolvers if look.answered]
    if any(look.trouble is Trouble.BOGUS for look in resolvers):  # certificate authorities validate as well
        return _not_signed_right(display(seen.zone or name.registered))
    none_can = bool(resolvers) and all(look.fails for look in resolvers)
    if any(look.addresses for look in telling) and not none_can:
        return None
    for look in telling:
        if look.trouble is Trouble.LOOP:
            return _loop(name, look)
    if none_can or any(look.fails for look in telling):
        return Finding(
            "dns.servfail",
            "error",
            f"DNS fails for {name.display} (SERVFAIL): the servers of its zone do not answer as they should.",
            "Look at the zone with whoever serves its DNS. Often it is missing there, or DNSSEC is set up wrongly.",
        )
    if len(seen.zone) < len(name.registered):  # the nearest name servers are those of a public suffix
        return Finding(
            "dns.no-zone",
            "error",
            f"{display(name.registered)} is not registered, or no DNS server serves it.",
            "Register it, or enter the name servers of whoever serves its DNS at the registrar.",
        )
    alias = next((look.aliases[-1] for look in telling if look.aliases), None)
    if alias is not None:
        return Finding(
            "dns.dangling",
            "error",
            f"{name.display} is an alias of {display(alias.value)}, which has no address.",
            "Let the alias lead to a name that has one, or make an A record in its place.",
        )
    message = f"There is no record for {name.display} yet."
    return Finding("dns.missing", "error", message, "Make the record that Bakery shows for it.")


def _not_signed_right(zone: str) -> Finding:
    return Finding(
        "dns.dnssec",
        "error",
        f"The DNSSEC signature of {zone} is not valid, so resolvers refuse its records.",
        "Correct the DS record at the registrar, or switch DNSSEC off there until the zone is signed right.",
    )


def _loop(name: DomainName, look: Look) -> Finding:
    chain = " → ".join([name.display, *(display(record.value) for record in look.aliases)])
    message = f"Its CNAME records lead round in a circle: {chain}."
    return Finding("dns.loop", "error", message, "Make one of them an A record.")
