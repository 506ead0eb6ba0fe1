"""Looking at names: real DNS servers that say what real ones say, and requests that arrive or do not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from bakery.models import Alarm
from deployments.models import Deployment
from deployments.services import host
from domains.models import Certificate, Domain, Source, Verdict
from domains.services.instructions import Record, instructions_for
from domains.services.names import add_domain, remove_domain
from domains.services.verification import INTERVALS, next_look, request_verification, verify, verify_due
from infrastructure.dns import arriving, asking, looking
from tests.certificates import key_pem, self_signed
from tests.integration.arrival_server import ArrivalServer, arrival_server
from tests.integration.dns_server import DnsServer

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
HERE, SHOP = "127.0.0.1", "shop.example.com"
Change = Callable[..., None]


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """The first resolver, and the server of the zone."""
    with DnsServer() as running:
        running.zone("example.com")
        yield running


@pytest.fixture
def other() -> Iterator[DnsServer]:
    """The second resolver."""
    with DnsServer() as running:
        running.zone("example.com")
        yield running


@pytest.fixture
def site() -> Iterator[ArrivalServer]:
    with arrival_server(host.router().acme_root) as running:
        yield running


@pytest.fixture(autouse=True)
def set_up(dns: DnsServer, other: DnsServer, site: ArrivalServer, monkeypatch: pytest.MonkeyPatch) -> Change:
    # Machines that run tests are slow: who answers at all gets the time for it.
    monkeypatch.setattr(asking, "ONE_TRY", 15.0)
    monkeypatch.setattr(looking, "SECONDS", 60.0)
    monkeypatch.setattr(arriving, "SECONDS", 30.0)

    def change(**values: Any) -> None:
        monkeypatch.setattr(settings, "BAKERY", replace(settings.BAKERY, **values))

    change(
        dns_resolvers=(dns.at, other.at), dns_port=dns.port, public_ip=HERE, public_ipv6="", public_http_port=site.port
    )
    return change


@pytest.fixture
def shop() -> Domain:
    deployment = Deployment.objects.create(name="shop", repository="https://example.com/shop.git")  # it needs no slots
    deployment.domains.create(hostname="shop.localhost", generated=True, primary=True)
    return add_domain(deployment, SHOP, by=None)


def messages(domain: Domain) -> str:
    return "\n".join(finding["message"] for finding in domain.report["findings"])


def both(dns: DnsServer, other: DnsServer, *records: str, type: str = "A", name: str = SHOP) -> None:
    for server in (dns, other):
        server.set(name, type, *records)


def test_wrong_dns_is_explained_and_noticed_when_it_is_right(
    shop: Domain, dns: DnsServer, other: DnsServer, site: ArrivalServer
) -> None:
    missing = verify(shop)
    assert (missing.verdict, "no record for shop.example.com" in messages(missing)) == (Verdict.WRONG, True)
    assert missing.report["changes"] == [{"action": "add", "type": "A", "host": "shop", "value": "", "to": HERE}]
    both(dns, other, "203.0.113.9")
    assert "points to 203.0.113.9, which is not this server" in messages(verify(shop))
    both(dns, other, HERE)
    right = verify(shop)
    assert (right.verdict, right.checks, right.right_at) == (Verdict.RIGHT, 1, right.checked_at)
    assert site.hosts == [SHOP]
    seen = {(record["by"], record["type"], record["value"], record["ttl"]) for record in right.report["records"]}
    assert seen == {(HERE, "A", HERE, 300), ("ns1.example.com", "A", HERE, 300)}
    assert list((host.router().acme_root / arriving.CHALLENGES).iterdir()) == []


def test_aliases_are_followed_into_other_zones_and_wildcards_looked_up_below(
    shop: Domain, dns: DnsServer, other: DnsServer
) -> None:
    for server in (dns, other):
        server.zone("example.net")
        server.set(SHOP, "CNAME", "a.example.net.")
        server.set("a.example.net", "CNAME", "b.example.net.")
        server.set("b.example.net", "A", HERE)
        server.set("*.example.com", "A", HERE)
    right = verify(shop)
    assert (right.verdict, messages(right)) == (Verdict.RIGHT, messages(right))
    aliases = [record["value"] for record in right.report["records"] if record["type"] == "CNAME"]
    assert set(aliases) == {"a.example.net", "b.example.net"}
    wildcard = verify(add_domain(shop.deployment, "*.example.com", by=None))
    assert wildcard.verdict == Verdict.RIGHT
    assert dns.asked("*.example.com", "A") == 0


@pytest.mark.parametrize(
    ("fault", "verdict", "words"),
    [
        ("servfail", Verdict.UNCLEAR, "SERVFAIL"),
        ("nxdomain", Verdict.WRONG, "not registered"),
        ("refused", Verdict.UNCLEAR, "None of the DNS servers answers"),
        ("silent", Verdict.UNCLEAR, "None of the DNS servers answers"),
        ("truncate", Verdict.RIGHT, ""),
        ("bogus", Verdict.UNCLEAR, "The DNSSEC signature of example.com is not valid"),
    ],
)
def test_servers_that_fail_are_told_apart(
    shop: Domain, dns: DnsServer, other: DnsServer, fault: str, verdict: str, words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    both(dns, other, HERE)
    if fault == "silent":
        monkeypatch.setattr(asking, "ONE_TRY", 0.2)
    for server in (dns, other):
        server.behave("example.com", fault)
    seen = verify(shop)
    assert (seen.verdict, words in messages(seen)) == (verdict, True)


def test_a_lame_server_of_the_zone_and_a_silent_resolver_are_named_beside_those_that_answer(
    shop: Domain, dns: DnsServer, other: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ONE_TRY", 2.0)
    both(dns, other, HERE)
    dns.behave("example.com", "lame", view="authoritative")
    other.behave("example.com", "silent")
    seen = verify(shop)
    assert seen.verdict == Verdict.RIGHT
    assert "ns1.example.com refuses to answer" in messages(seen)
    assert "does not answer in time" in messages(seen)


def test_a_loop_of_aliases_is_shown(shop: Domain, dns: DnsServer, other: DnsServer) -> None:
    for server in (dns, other):
        server.set(SHOP, "CNAME", "a.example.com.")
        server.set("a.example.com", "CNAME", f"{SHOP}.")
    seen = verify(shop)
    assert (seen.verdict, "circle: shop.example.com → a.example.com" in messages(seen)) == (Verdict.WRONG, True)


def test_resolvers_that_are_behind_are_waited_for_as_long_as_they_remember(
    shop: Domain, dns: DnsServer, other: DnsServer
) -> None:
    both(dns, other, HERE)
    other.set(SHOP, "A", "203.0.113.9", ttl=40)
    behind = verify(shop)
    assert behind.verdict == Verdict.WRONG
    assert "still says 203.0.113.9, for another 40 s" in messages(behind)
    assert "only a matter of time" in messages(behind)
    assert behind.next_check_at is not None and behind.checked_at is not None
    assert behind.next_check_at - behind.checked_at == timedelta(seconds=45)


def test_an_answer_that_changes_from_look_to_look_is_believed_each_time(
    shop: Domain, dns: DnsServer, other: DnsServer
) -> None:
    both(dns, other, HERE)
    assert verify(shop).verdict == Verdict.RIGHT
    both(dns, other, "203.0.113.9")
    assert verify(shop).verdict == Verdict.WRONG
    both(dns, other, HERE)
    assert verify(shop).verdict == Verdict.RIGHT


def test_caa_is_found_above_the_name_and_counts_for_issued_certificates_alone(
    shop: Domain, dns: DnsServer, other: DnsServer, set_up: Change
) -> None:
    set_up(certbot_server="")  # Let's Encrypt's
    both(dns, other, HERE)
    both(dns, other, '0 issue "digicert.com"', type="CAA", name="example.com")
    seen = verify(shop)
    assert (seen.verdict, "CAA allows only digicert.com" in messages(seen)) == (Verdict.WRONG, True)
    assert {"action": "add", "type": "CAA", "host": "@", "value": "", "to": '0 issue "letsencrypt.org"'} in seen.report[
        "changes"
    ]
    Certificate.objects.create(deployment=shop.deployment, source=Source.UPLOADED)
    assert verify(shop).verdict == Verdict.RIGHT


def test_nothing_private_is_asked_that_is_not_this_servers(
    shop: Domain, dns: DnsServer, other: DnsServer, site: ArrivalServer, set_up: Change
) -> None:
    set_up(public_ip="203.0.113.5")
    both(dns, other, HERE)  # of this machine, but nowhere that visitors come from
    seen = verify(shop)
    assert (seen.verdict, site.hosts) == (Verdict.WRONG, [])
    set_up(public_ip="")
    seen = verify(shop)
    assert (seen.verdict, site.hosts) == (Verdict.WRONG, [])
    assert "is a private address, which visitors cannot reach" in messages(seen)


@pytest.mark.parametrize(
    ("does", "target", "words"),
    [
        ("other", "", "is answered by something else on port"),
        ("redirect", "http://elsewhere.example.net/", "leads on to another place (elsewhere.example.net)"),
        ("redirect", "https://elsewhere.example.net/", "leads on to another place (elsewhere.example.net)"),
        ("redirect", f"https://{SHOP}:2222/", f"leads on to another place ({SHOP})"),  # whose port that is nobody knows
        ("redirect", "https://\x1b.example.net/", "leads on to another place (unknown)"),  # read in a terminal
        ("drip", "", "on port"),
    ],
)
def test_another_site_a_redirect_away_and_an_endless_answer_are_no_arrival(
    shop: Domain, dns: DnsServer, other: DnsServer, site: ArrivalServer, does: str, target: str, words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if does == "drip":
        monkeypatch.setattr(arriving, "SECONDS", 1.0)
    both(dns, other, HERE)
    site.does, site.target = does, target
    seen = verify(shop)
    assert (seen.verdict, words in messages(seen)) == (Verdict.WRONG, True), messages(seen)


def test_the_step_from_http_to_https_is_followed_whatever_the_certificate(
    shop: Domain, dns: DnsServer, other: DnsServer, site: ArrivalServer, set_up: Change, tmp_path: Path
) -> None:
    both(dns, other, HERE)
    issued = self_signed("another.example.com")
    (tmp_path / "chain.pem").write_bytes(issued.chain_pem)
    (tmp_path / "key.pem").write_bytes(key_pem(issued.key))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    with arrival_server(site.root, tls) as secure:
        set_up(https_port=secure.port)
        site.does, site.target = "redirect", f"https://{SHOP}{{path}}"
        seen = verify(shop)
        assert (seen.verdict, secure.hosts) == (Verdict.RIGHT, [SHOP]), messages(seen)


def test_a_closed_port_is_said(shop: Domain, dns: DnsServer, other: DnsServer, set_up: Change) -> None:
    both(dns, other, HERE)
    with socket.socket() as held:  # bound, so that nobody else listens there; and not listening
        held.bind((HERE, 0))
        set_up(public_http_port=held.getsockname()[1])
        assert "refuses connections on port" in messages(verify(shop))


def test_a_name_that_was_right_alarms_after_two_looks_and_the_alarm_ends(
    shop: Domain, dns: DnsServer, other: DnsServer
) -> None:
    both(dns, other, "203.0.113.9")
    for _ in range(3):
        verify(shop)
    assert not Alarm.objects.exists()  # it has never been right: its page says why
    both(dns, other, HERE)
    verify(shop)
    both(dns, other, "203.0.113.9")
    verify(shop)
    assert not Alarm.objects.exists()
    verify(shop)
    alarm = Alarm.objects.get()
    assert (alarm.subject, alarm.deployment, "203.0.113.9" in alarm.message) == (SHOP, shop.deployment, True)
    both(dns, other, HERE)
    verify(shop)
    assert Alarm.objects.get().ended_at is not None
    both(dns, other, "203.0.113.9")
    verify(shop)
    verify(shop)
    remove_domain(shop, by=None)
    assert not Alarm.objects.filter(ended_at=None).exists()


def test_what_is_due_is_looked_at_and_put_off_ever_longer(shop: Domain, dns: DnsServer, other: DnsServer) -> None:
    add_domain(None, "bakery.example.com", by=None)
    assert verify_due() == 2  # new, and one of them the panel's
    assert verify_due() == 0
    shop.refresh_from_db()
    assert (shop.verdict, shop.checks) == (Verdict.WRONG, 1)
    both(dns, other, HERE)
    request_verification(shop)
    assert verify_due() == 1
    shop.refresh_from_db()
    assert (shop.verdict, shop.checks) == (Verdict.RIGHT, 1)
    assert shop.next_check_at is not None and shop.next_check_at > timezone.now() + timedelta(hours=23)
    waits = [next_look(Verdict.WRONG, looks).total_seconds() for looks in range(1, 13)]
    assert waits == [*INTERVALS, INTERVALS[-1], INTERVALS[-1]]


def test_a_generated_local_name_is_never_looked_at(shop: Domain, dns: DnsServer) -> None:
    assert shop.deployment is not None
    local = shop.deployment.domains.get(generated=True)
    assert verify(local).verdict == Verdict.UNCHECKED
    request_verification(local)
    verify_due()
    assert dns.asked(local.hostname, "A") == 0


def test_the_records_to_make_are_rows_of_a_registrars_form(shop: Domain, set_up: Change) -> None:
    set_up(public_ip="203.0.113.5", public_ipv6="2001:db8::5")
    told = instructions_for(shop)
    assert told.zone == "example.com"
    assert told.records == (
        Record("A", "shop", SHOP, "203.0.113.5"),
        Record("AAAA", "shop", SHOP, "2001:db8::5"),
    )
    assert told.alternative == ()
    assert isinstance(shop.deployment, Deployment)
    add_domain(shop.deployment, "example.com", by=None)
    assert instructions_for(shop).alternative == (Record("CNAME", "shop", SHOP, "example.com."),)
    wildcard = add_domain(shop.deployment, "*.büro.example.com", by=None)
    assert [record.host for record in instructions_for(wildcard).records] == ["*.xn--bro-hoa"] * 2
    set_up(public_ip="", public_ipv6="")
    assert "BAKERY_PUBLIC_IP" in instructions_for(shop).problem
