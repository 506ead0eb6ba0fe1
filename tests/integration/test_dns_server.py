"""The tests' own DNS server does what real ones do, so that what is tested against it means something."""

from __future__ import annotations

from collections.abc import Iterator

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.integration.dns_server import DnsServer


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as running:
        running.zone("example.com")
        yield running


def ask(server: DnsServer, name: str, type: str = "A", *, recursive: bool = True) -> dns.message.Message:
    query = dns.message.make_query(name, type)
    if not recursive:
        query.flags &= ~dns.flags.RD
    return dns.query.udp_with_fallback(query, server.address, port=server.port, timeout=60)[0]


def values(response: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in response.answer for record in rrset]


def test_it_answers_follows_aliases_and_knows_what_is_not_there(server: DnsServer) -> None:
    server.set("example.com", "A", "203.0.113.5")
    server.set("www.example.com", "CNAME", "example.com.")
    server.set("*.shop.example.com", "AAAA", "2001:db8::1")
    assert values(ask(server, "www.example.com")) == ["example.com.", "203.0.113.5"]
    assert values(ask(server, "x.shop.example.com", "AAAA")) == ["2001:db8::1"]
    assert (ask(server, "shop.example.com").rcode(), values(ask(server, "shop.example.com"))) == (dns.rcode.NOERROR, [])
    missing = ask(server, "nothing.example.com", recursive=False)
    assert (missing.rcode(), bool(missing.flags & dns.flags.AA)) == (dns.rcode.NXDOMAIN, True)


def test_the_two_parts_it_plays_can_say_different_things(server: DnsServer) -> None:
    server.set("example.com", "A", "203.0.113.5")
    server.set("example.com", "A", "203.0.113.9", view="recursive")
    assert values(ask(server, "example.com")) == ["203.0.113.9"]
    assert values(ask(server, "example.com", recursive=False)) == ["203.0.113.5"]


def test_faults_are_those_of_real_servers(server: DnsServer) -> None:
    server.set("example.com", "A", "203.0.113.5")
    server.behave("example.com", "truncate")
    assert values(ask(server, "example.com")) == ["203.0.113.5"]  # over TCP
    for what in ("servfail", "refused", "nxdomain"):
        server.behave("example.com", what)
        assert dns.rcode.to_text(ask(server, "example.com").rcode()) == what.upper()
    server.behave("example.com", "silent")
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(dns.message.make_query("example.com", "A"), server.address, port=server.port, timeout=0.2)


def test_a_loop_ends_and_answers_can_change_from_look_to_look(server: DnsServer) -> None:
    server.set("a.example.com", "CNAME", "b.example.com.")
    server.set("b.example.com", "CNAME", "a.example.com.")
    assert ask(server, "a.example.com").rcode() == dns.rcode.SERVFAIL
    server.alternate("turn.example.com", "A", "203.0.113.5", "203.0.113.9")
    assert [values(ask(server, "turn.example.com"))[0] for _ in range(3)] == [
        "203.0.113.5",
        "203.0.113.9",
        "203.0.113.5",
    ]
