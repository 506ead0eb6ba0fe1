"""From what DNS servers say to a verdict in words, as a table: nothing is asked of anybody."""

from __future__ import annotations

import pytest

from infrastructure.dns.answers import Answer, Caa, Look, Observation, Record, Trouble
from infrastructure.dns.arriving import Arrival
from infrastructure.dns.caa import allowed
from infrastructure.dns.findings import Change, Here
from infrastructure.dns.judging import RIGHT, UNCLEAR, WRONG, Judgement, judge
from infrastructure.dns.networks import is_cloudflares
from infrastructure.hostnames import DomainName

HERE = Here("203.0.113.5", "2001:db8::5", frozenset({"203.0.113.5"}), "letsencrypt.org")
ONLY_IPV4 = Here("203.0.113.5", "", frozenset({"203.0.113.5"}), "letsencrypt.org")
ARRIVED = (Arrival("203.0.113.5", True),)
SHOP = "shop.example.com"


def answer(
    type: str, *values: str, ttl: int = 300, trouble: Trouble = Trouble.NONE, aliases: tuple[str, ...] = ()
) -> Answer:
    names = (SHOP, *aliases)
    chain = tuple(Record("CNAME", name, alias, ttl) for name, alias in zip(names, aliases, strict=False))
    return Answer(type, chain + tuple(Record(type, names[-1], value, ttl) for value in values), trouble)


def look(a: tuple[str, ...] | Trouble, aaaa: tuple[str, ...] = (), *, by: str = "1.1.1.1", **more: object) -> Look:
    zone = by.startswith("ns")
    if isinstance(a, Trouble):
        return Look(by, zone, answer("A", trouble=a, **more), answer("AAAA", trouble=a, **more))  # type: ignore[arg-type]
    return Look(by, zone, answer("A", *a, **more), answer("AAAA", *aaaa, **more))  # type: ignore[arg-type]


def judged(
    *looks: Look, here: Here = HERE, arrivals: tuple[Arrival, ...] = ARRIVED, caa: tuple[str, ...] = (),
    zone: str = "example.com", name: str = SHOP,
) -> Judgement:  # fmt: skip
    records = Caa("example.com", tuple(Record("CAA", "example.com", value, 300) for value in caa)) if caa else Caa()
    return judge(DomainName(name), Observation(name, zone, looks, records), here, arrivals)


def said(judgement: Judgement) -> str:
    return "\n".join(f"{finding.message} {finding.hint}" for finding in judgement.findings)


BOTH = (("203.0.113.5",), ("2001:db8::5",))
ELSEWHERE = (("203.0.113.9",), ())


@pytest.mark.parametrize(
    ("looks", "verdict", "words"),
    [
        ([look(*BOTH), look(*BOTH, by="8.8.8.8"), look(*BOTH, by="ns1")], RIGHT, []),
        ([look(("203.0.113.5",)), look(("203.0.113.5",), by="ns1")], RIGHT, ["no AAAA record", "2001:db8::5"]),
        ([look(*ELSEWHERE), look(*ELSEWHERE, by="ns1")], WRONG, ["points to 203.0.113.9, which is not this server."]),
        (
            [look(("203.0.113.5", "203.0.113.9"), ("2001:db8::5",))],
            WRONG,
            ["points to 203.0.113.9, which is not this server, so some visitors will not arrive", "Delete that record"],
        ),
        (
            [look(("203.0.113.5",), ("2001:db8::9",))],
            WRONG,
            ["AAAA points elsewhere (2001:db8::9), so some visitors will not arrive"],
        ),
        ([look(("10.0.0.5",))], WRONG, ["points to 10.0.0.5, a private address", "203.0.113.5"]),
        ([look((), ("2001:db8::5",))], RIGHT, ["no A record, so visitors without IPv6 will not arrive"]),
        ([look(("104.16.1.1",), ("2606:4700::1",))], WRONG, ["proxied by Cloudflare (104.16.1.1)", "grey cloud"]),
        ([look(Trouble.NXDOMAIN), look(Trouble.NXDOMAIN, by="ns1")], WRONG, ["no record for shop.example.com yet"]),
        ([look(()), look((), by="ns1")], WRONG, ["There is no record for shop"]),
        ([look(Trouble.SERVFAIL), look(Trouble.SERVFAIL, by="8.8.8.8")], UNCLEAR, ["(SERVFAIL)"]),
        ([look(Trouble.SERVFAIL), look(*BOTH, by="ns1")], UNCLEAR, ["(SERVFAIL)"]),
        ([look(Trouble.BOGUS), look(*BOTH, by="8.8.8.8")], UNCLEAR, ["DNSSEC signature of example.com"]),
        ([look(Trouble.TIMEOUT), look(Trouble.UNREACHABLE, by="8.8.8.8")], UNCLEAR, ["None of the DNS servers"]),
        ([look(Trouble.TIMEOUT), look(*BOTH, by="8.8.8.8")], RIGHT, ["1.1.1.1 does not answer in time"]),
        ([look(*BOTH), look(Trouble.LAME, by="ns1"), look(*BOTH, by="ns2")], RIGHT, ["ns1 does not serve this zone"]),
        (
            [look(Trouble.SERVFAIL), look(Trouble.LOOP, by="ns1", aliases=("a.example.com", SHOP))],
            WRONG,
            ["in a circle: shop.example.com → a.example.com → shop.example.com"],
        ),
        ([look((), aliases=("gone.example.net",))], WRONG, ["alias of gone.example.net, which has no address"]),
        (
            [look(("203.0.113.9",), ttl=280), look(*BOTH, by="8.8.8.8"), look(*BOTH, by="ns1")],
            WRONG,
            [
                "The resolvers do not agree yet: 1.1.1.1 still says 203.0.113.9, for another 280 s",
                "The zone's own servers say it right, so it is only a matter of time",
            ],
        ),
        ([look(Trouble.NXDOMAIN), look(*BOTH, by="ns1")], WRONG, ["still says that there is no record"]),
        ([look(*ELSEWHERE), look(*BOTH, by="8.8.8.8")], WRONG, ["do not agree yet: 1.1.1.1 still says 203.0.113.9"]),
        ([look(*BOTH), look(*BOTH, by="ns1"), look(*ELSEWHERE, by="ns2")], WRONG, ["points to 203.0.113.9"]),
    ],
)  # fmt: skip
def test_what_was_seen_is_judged_in_words(looks: list[Look], verdict: str, words: list[str]) -> None:
    judgement = judged(*looks)
    assert judgement.verdict == verdict, said(judgement)
    for text in words:
        assert text in said(judgement)
    assert (judgement.findings == ()) == (words == [])


def test_an_unregistered_domain_is_told_from_a_missing_record() -> None:
    assert "example.com is not registered" in said(judged(look(Trouble.NXDOMAIN), zone=""))


@pytest.mark.parametrize(
    ("caa", "name", "verdict", "words"),
    [
        (('0 issue "letsencrypt.org"',), SHOP, RIGHT, ""),
        (('0 issue "digicert.com"',), SHOP, WRONG, "CAA allows only digicert.com"),
        (('0 issue "digicert.com; policy=ev"', '0 issue "letsencrypt.org"'), SHOP, RIGHT, ""),
        (('0 issue "letsencrypt.org; validationmethods=dns-01"',), SHOP, RIGHT, "on a condition"),
        (('0 issue ";"',), SHOP, WRONG, "CAA allows no certificate authority at all"),
        (('0 iodef "mailto:x@example.com"',), SHOP, RIGHT, ""),
        (('0 issue "letsencrypt.org"', '0 issuewild "digicert.com"'), SHOP, RIGHT, ""),
        (('0 issue "letsencrypt.org"', '0 issuewild "digicert.com"'), "*.example.com", WRONG, "only digicert.com"),
        (('0 issue "letsencrypt.org"', '0 issuewild ";"'), "*.example.com", WRONG, "no certificate authority"),
    ],
)
def test_caa_that_forbids_the_authority_is_named_with_the_record_to_add(
    caa: tuple[str, ...], name: str, verdict: str, words: str
) -> None:
    judgement = judged(look(*BOTH), caa=caa, name=name)
    assert (judgement.verdict, words in said(judgement)) == (verdict, True)
    added = [change for change in judgement.changes if change.type == "CAA"]
    assert bool(added) == (verdict == WRONG)
    assert all(change.host == "@" and "letsencrypt.org" in change.to for change in added)


def test_caa_counts_for_nothing_where_the_certificate_is_not_issued() -> None:
    uploaded = Here("203.0.113.5", "2001:db8::5", frozenset({"203.0.113.5"}))
    assert judged(look(*BOTH), here=uploaded, caa=('0 issue "digicert.com"',)).verdict == RIGHT
    assert allowed(Caa(), wildcard=False) is None


def test_the_records_to_change_are_named() -> None:
    assert judged(look(*ELSEWHERE)).changes == (Change("change", "A", "shop", "203.0.113.9", "203.0.113.5"),)
    assert judged(look(("203.0.113.5", "203.0.113.9"), ("2001:db8::9",)), here=ONLY_IPV4).changes == (
        Change("delete", "A", "shop", "203.0.113.9"),
        Change("delete", "AAAA", "shop", "2001:db8::9"),
    )
    assert judged(look(("203.0.113.5",), ("2001:db8::9",))).changes == (
        Change("change", "AAAA", "shop", "2001:db8::9", "2001:db8::5"),
    )
    assert judged(look(Trouble.NXDOMAIN), here=ONLY_IPV4).changes == (Change("add", "A", "shop", to="203.0.113.5"),)
    moved = judged(look(("203.0.113.9",), aliases=("old.example.net",)), here=ONLY_IPV4)
    assert moved.changes == (
        Change("delete", "CNAME", "shop", "old.example.net"),
        Change("add", "A", "shop", to="203.0.113.5"),
    )
    assert judged(look(*ELSEWHERE), look(*BOTH, by="ns1")).changes == ()


def test_a_request_that_arrives_through_a_proxy_makes_the_name_right() -> None:
    through = (Arrival("104.16.1.1", True),)
    judgement = judged(look(("104.16.1.1",)), here=ONLY_IPV4, arrivals=through)
    assert (judgement.verdict, "requests arrive here through it" in said(judgement)) == (RIGHT, True)
    judgement = judged(look(("198.51.100.1",)), here=ONLY_IPV4, arrivals=(Arrival("198.51.100.1", True),))
    assert (judgement.verdict, judgement.findings[0].id) == (RIGHT, "dns.proxied")


def test_a_closed_port_is_an_error_where_the_address_is_this_machines_and_a_doubt_behind_a_router() -> None:
    closed = (Arrival("203.0.113.5", False, "refuses connections on port 80"),)
    judgement = judged(look(("203.0.113.5",)), here=ONLY_IPV4, arrivals=closed)
    assert (judgement.verdict, judgement.findings[0].message) == (WRONG, "203.0.113.5 refuses connections on port 80.")
    behind = Here("203.0.113.5", "", frozenset({"10.0.0.5"}))
    assert judged(look(("203.0.113.5",)), here=behind, arrivals=closed).verdict == RIGHT


def test_without_a_known_address_the_request_that_arrives_decides() -> None:
    nowhere = Here(own=frozenset({"10.0.0.5"}))
    arrives = judged(look(("203.0.113.5",)), here=nowhere)
    assert (arrives.verdict, arrives.findings[0].id) == (RIGHT, "dns.address-unknown")
    lost = judged(look(("203.0.113.5",)), here=nowhere, arrivals=(Arrival("203.0.113.5", False, "does not answer"),))
    assert (lost.verdict, "BAKERY_PUBLIC_IP" in said(lost)) == (WRONG, True)


def test_another_port_than_80_is_said() -> None:
    other = Here("203.0.113.5", "", frozenset({"203.0.113.5"}), port=8080)
    judgement = judged(look(("203.0.113.5",)), here=other)
    assert (judgement.verdict, "BAKERY_PUBLIC_HTTP_PORT=80" in said(judgement)) == (RIGHT, True)


def test_how_long_caches_last_says_when_to_look_again() -> None:
    assert judged(look(("203.0.113.9",), ttl=280), look(*BOTH, by="ns1")).wait == 280
    assert judged(look(*BOTH), look(*BOTH, by="ns1")).wait == 0


@pytest.mark.parametrize("address", ["172.67.1.1", "2606:4700:3030::1"])
def test_cloudflares_networks_are_known(address: str) -> None:
    assert is_cloudflares(address)
