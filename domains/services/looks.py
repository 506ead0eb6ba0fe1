"""One look at a name: DNS, a request to the name itself, and what both mean. No database is asked or changed here."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from deployments.services import host
from domains.models import Certificate, Domain, Source
from infrastructure.hostnames import DomainName

if TYPE_CHECKING:
    from infrastructure.dns.answers import Observation
    from infrastructure.dns.arriving import Arrival
    from infrastructure.dns.findings import Here
    from infrastructure.dns.judging import Judgement

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


@dataclass(frozen=True)
class Looked:
    observation: Observation
    arrivals: tuple[Arrival, ...]
    judgement: Judgement


def issuer_of(domain: Domain) -> str:
    """Whom CAA records have to allow; nobody for a certificate that was uploaded."""
    from infrastructure.dns.caa import authority_of

    certificate = Certificate.objects.filter(deployment=domain.deployment_id).first()
    if certificate is not None and certificate.source == Source.UPLOADED:
        return ""
    return authority_of(settings.BAKERY.certbot_server or LETS_ENCRYPT)


def look_at(hostname: str, issuer: str) -> Looked:
    """``issuer``: as ``issuer_of`` says. Takes up to 15 seconds."""
    from infrastructure.dns.arriving import arrivals  # dnspython takes 10 MB, which only who looks needs
    from infrastructure.dns.asking import Server
    from infrastructure.dns.judging import addresses_of, judge
    from infrastructure.dns.looking import observe

    bakery = settings.BAKERY
    name = DomainName(hostname)
    here = _here(issuer)
    resolvers = [Server.parse(text) for text in bakery.dns_resolvers]
    seen = observe(name, resolvers, zone_port=bakery.dns_port)
    came = arrivals(
        seen.name,
        addresses_of(seen),
        host.router().acme_root,
        own=here.addresses,
        port=here.port,
        https_port=bakery.https_port,
    )
    return Looked(seen, came, judge(name, seen, here, came))


def _here(issuer: str) -> Here:
    from infrastructure.dns.findings import Here
    from infrastructure.dns.networks import is_inside, own_addresses

    bakery = settings.BAKERY
    known = {text for text in (bakery.public_ip, bakery.public_ipv6) if text}
    own = own_addresses()
    if any(not is_inside(text) for text in known):  # the private ones lead nobody here from outside
        own = frozenset(address for address in own if not is_inside(address))
    # Of a loopback address it is certain, too, that this machine answers there.
    own |= {text for text in known if ipaddress.ip_address(text).is_loopback}
    return Here(bakery.public_ip, bakery.public_ipv6, own, issuer, bakery.public_http_port)
