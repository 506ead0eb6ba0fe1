"""Looks a name up as visitors do, by several resolvers, and as it stands with the servers of its own zone."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from infrastructure.dns.answers import Answer, Caa, Look, Observation, Record, Trouble
from infrastructure.dns.asking import Asker, Server, chained
from infrastructure.dns.networks import is_public
from infrastructure.hostnames import DomainName

SECONDS = 10.0  # for everything
MOST_ZONE_SERVERS = 3
LONGEST_CHAIN = 8


def observe(name: DomainName, resolvers: Sequence[Server], *, zone_port: int = 53) -> Observation:
    """``zone_port``: where the zone's own servers answer. Resolvers are asked at the same time; those that answer are
    asked for the rest."""
    asked = f"bakery-{secrets.token_hex(4)}.{name.base}" if name.is_wildcard else str(name)
    asker = Asker(SECONDS)
    with ThreadPoolExecutor(max_workers=len(resolvers) + 2) as pool:
        looks = list(pool.map(lambda resolver: _look(asker, resolver, asked), resolvers))
        answering = [resolver for resolver, look in zip(resolvers, looks, strict=True) if look.answered]
        if not answering:
            return Observation(asked, "", tuple(looks))
        caa = pool.submit(_relevant_caa, asker, answering, name)
        zone_name, zone_looks = _ask_the_zone(asker, answering, asked, zone_port)
        return Observation(asked, zone_name, (*looks, *zone_looks), caa.result())


def _look(asker: Asker, server: Server, name: str) -> Look:
    with ThreadPoolExecutor(max_workers=2) as pool:
        a, aaaa = pool.map(lambda kind: asker.ask(server, name, kind), ("A", "AAAA"))
    return Look(str(server), False, a, aaaa)


def _ask_any(asker: Asker, resolvers: Sequence[Server], name: str, type: str) -> Answer:
    """The first resolver's answer that is one."""
    answer = Answer(type, trouble=Trouble.UNREACHABLE)
    for resolver in resolvers:
        answer = asker.ask(resolver, name, type)
        if answer.trouble in (Trouble.NONE, Trouble.NXDOMAIN):
            return answer
    return answer


def _relevant_caa(asker: Asker, resolvers: Sequence[Server], name: DomainName) -> Caa:
    """RFC 8659, 3: from the name upwards, the first that has any; what is above it does not count."""
    labels = name.base.split(".")
    for start in range(len(labels)):
        at = ".".join(labels[start:])
        answer = _ask_any(asker, resolvers, at, "CAA")
        if answer.trouble not in (Trouble.NONE, Trouble.NXDOMAIN):
            return Caa(at, trouble=answer.trouble)
        records = tuple(record for record in answer.records if record.type == "CAA")
        if records:
            return Caa(at, records)
    return Caa()


def _ask_the_zone(asker: Asker, resolvers: Sequence[Server], name: str, port: int) -> tuple[str, list[Look]]:
    """What the servers of the name's own zone say, past every cache."""
    zone, servers = _zone_of(asker, resolvers, name, port)
    if not servers:
        return zone, []
    with ThreadPoolExecutor(max_workers=2 * len(servers)) as pool:
        asked = [
            (server, [pool.submit(_follow, asker, resolvers, server, name, kind, port) for kind in ("A", "AAAA")])
            for server in servers
        ]
        return zone, [Look(str(server), True, a.result(), aaaa.result()) for server, (a, aaaa) in asked]


def _zone_of(asker: Asker, resolvers: Sequence[Server], name: str, port: int) -> tuple[str, list[Server]]:
    """The zone that holds the name, and its servers: the nearest name upwards that has NS records."""
    labels = name.split(".")
    for start in range(len(labels) - 1):
        zone = ".".join(labels[start:])
        answer = _ask_any(asker, resolvers, zone, "NS")
        hosts = [record.value for record in answer.records if record.type == "NS" and record.name == zone]
        if hosts:
            return zone, _reachable(asker, resolvers, hosts[:MOST_ZONE_SERVERS], port)
    return "", []


def _reachable(asker: Asker, resolvers: Sequence[Server], hosts: list[str], port: int) -> list[Server]:
    """Anybody can make a zone whose servers have private addresses: those are asked only where resolvers have some."""
    inside = any(not is_public(resolver.address) for resolver in resolvers)
    servers = []
    for host in hosts:
        values = _ask_any(asker, resolvers, host, "A").values or _ask_any(asker, resolvers, host, "AAAA").values
        servers += [Server(one, port, host) for one in values[:1] if inside or is_public(one)]
    return servers


def _follow(asker: Asker, resolvers: Sequence[Server], server: Server, name: str, type: str, port: int) -> Answer:
    """Through aliases into other zones, asking each zone's own server."""
    answer = asker.ask(server, name, type, recursive=False)
    records: list[Record] = list(answer.records)
    for _ in range(LONGEST_CHAIN):
        if answer.trouble is not Trouble.NONE or answer.values or not answer.records:
            break
        target = answer.records[-1].value  # an alias that leads out of what this server knows
        _, servers = _zone_of(asker, resolvers, target, port)
        if not servers:
            break
        answer = asker.ask(servers[0], target, type, recursive=False)
        records += answer.records
        chain, loops = chained(records, name, type)
        if loops:
            return Answer(type, chain, Trouble.LOOP, authoritative=True)
    return Answer(type, tuple(records), answer.trouble, answer.wait, authoritative=True)
