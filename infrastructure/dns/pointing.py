"""Where a name's addresses lead, by each of those who were asked."""

from __future__ import annotations

from collections.abc import Iterable

from infrastructure.dns.answers import Answer, Look, Observation, Trouble
from infrastructure.dns.findings import Finding, Here
from infrastructure.dns.networks import is_cloudflares, is_inside

SHORTEST_WAIT = 30  # seconds


def addresses_in(looks: Iterable[Look], kind: str) -> set[str]:
    return {value for look in looks for value in look.answer(kind).values}


def address_findings(telling: list[Look], here: Here, arrived: set[str]) -> Iterable[Finding]:
    """``arrived``: addresses through which a request was seen to come here."""
    a, aaaa = addresses_in(telling, "A"), addresses_in(telling, "AAAA")
    own = here.addresses
    if here.ipv4:
        yield from _elsewhere(a - own, "A", here, arrived, alone=not a & own)
        if not a and here.ipv6 in aaaa:
            message = "There is no A record, so visitors without IPv6 will not arrive."
            yield Finding("dns.no-a", "warning", message, f"Add an A record with {here.ipv4}.")
    if here.is_known:
        yield from _elsewhere(aaaa - own, "AAAA", here, arrived, alone=not a and not aaaa & own)
    if here.ipv6 and a & own and not aaaa:
        message = "There is no AAAA record: visitors arrive over IPv4 alone."
        yield Finding("dns.no-aaaa", "info", message, f"You may add an AAAA record with {here.ipv6}.")


def _elsewhere(others: set[str], kind: str, here: Here, arrived: set[str], *, alone: bool) -> Iterable[Finding]:
    """Addresses that are not this server's. Through some of them requests arrive all the same: a proxy stands there."""
    for address in sorted(others):
        through = address in arrived
        if is_cloudflares(address):
            yield Finding(
                "dns.cloudflare",
                "warning" if through else "error",
                f"It is proxied by Cloudflare ({address}){'; requests arrive here through it' if through else ''}.",
                "Switch the record to “DNS only” (the grey cloud). With the proxy on, visitors see Cloudflare's "
                "certificate, and this server's may fail to be renewed.",
            )
        elif through:
            message = (
                f"It points to {address}, which Bakery does not know as this server; requests arrive all the same."
            )
            yield Finding("dns.proxied", "warning", message, "A proxy or load balancer seems to stand in front.")
        elif is_inside(address):
            message = f"It points to {address}, a private address, which visitors cannot reach."
            yield Finding("dns.private", "error", message, f"Let it point to {here.of(kind)}." if here.of(kind) else "")
        elif kind == "AAAA" and not alone:
            message = f"AAAA points elsewhere ({address}), so some visitors will not arrive."
            yield Finding("dns.aaaa-elsewhere", "error", message, "Delete the AAAA record, or let it point here.")
        else:
            rest = "" if alone else ", so some visitors will not arrive"
            hint = "Change that record." if alone else "Delete that record."
            yield Finding("dns.elsewhere", "error", f"It points to {address}, which is not this server{rest}.", hint)


def has_verdict(look: Look) -> bool:
    """Whether it tells what the zone holds, or held."""
    return look.answered and look.trouble in (Trouble.NONE, Trouble.NXDOMAIN)


def not_agreed(seen: Observation, here: Here, arrived: set[str]) -> tuple[list[Finding], int]:
    """Resolvers that still say what was, while the zone's own servers, or other resolvers, say it right; and the
    seconds until the last of them looks anew."""
    own = [look for look in seen.zone_servers if look.answered]
    resolvers = [look for look in seen.resolvers if has_verdict(look)]
    late = [look for look in resolvers if not _is_right(look, here, arrived)]
    right = all(_is_right(look, here, arrived) for look in own) if own else len(late) < len(resolvers)
    if not late or not right:
        return [], 0
    found, wait = [], 0
    for look in late:
        answer = next((one for one in (look.a, look.aaaa) if _is_wrong(one, here, arrived)), look.a)
        still = ", ".join(answer.values) or "that there is no record"
        lasts = f", for another {answer.ttl} s" if answer.ttl else ""
        message = f"The resolvers do not agree yet: {look.server} still says {still}{lasts}."
        found.append(Finding("dns.waiting", "error", message, "Bakery looks again by itself."))
        wait = max(wait, answer.ttl, SHORTEST_WAIT)
    if own:
        message = "The zone's own servers say it right, so it is only a matter of time."
        found.append(Finding("dns.in-time", "info", message))
    return found, wait


def _is_right(look: Look, here: Here, arrived: set[str]) -> bool:
    return look.addresses and not any(_is_wrong(answer, here, arrived) for answer in (look.a, look.aaaa))


def _is_wrong(answer: Answer, here: Here, arrived: set[str]) -> bool:
    return here.is_known and any(value not in here.addresses | arrived for value in answer.values)


def servers_that_fail(seen: Observation) -> Iterable[Finding]:
    """Only beside others that answer: what all of them say is a finding of its own."""
    if not any(has_verdict(look) for look in seen.looks):
        return
    for look in seen.looks:
        if not has_verdict(look) and look.trouble not in (Trouble.LOOP, Trouble.BOGUS):
            hint = "Some visitors may not find the site. Look at the zone with whoever serves its DNS."
            yield Finding("dns.server-fails", "warning", f"{look.server} {look.trouble.value}.", hint)
