"""What the doctor says of names and certificates."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from bakery.doctor.certificates import certificate_findings
from bakery.doctor.finding import Finding, Verdict
from domains.models import Certificate, Domain
from infrastructure.runner import Runner
from tests.integration.dns_server import DnsServer
from tests.plan import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def look(**changes: object) -> list[Finding]:
    nowhere = f"https://127.0.0.1:{free_port()}/dir"
    bakery = replace(settings.BAKERY, certbot_server=nowhere, processes="supervisord", **changes)
    return certificate_findings(bakery, Runner())


def said(findings: list[Finding], text: str) -> Finding:
    (found,) = [one for one in findings if text in f"{one.subject} {one.detail}"]
    return found


def test_a_bakery_without_names_of_its_own_asks_nobody() -> None:
    assert [found.subject for found in look(dns_resolvers=("127.0.0.1:1",), public_ip="127.0.0.1")] == ["Certbot"]


def test_a_certbot_that_is_missing_is_named_and_nothing_is_wrong_for_it() -> None:
    found = said(look(certbot="/nowhere/certbot"), "Certbot")
    assert found.verdict is Verdict.WARNING
    assert "apt-get install certbot" in found.mend


def test_resolvers_ports_and_authority_are_asked_once_there_is_a_name(listening: int) -> None:
    Domain.objects.create(hostname="panel.example.com", primary=True)
    closed = free_port()
    with DnsServer() as dns:
        resolvers = (dns.at, f"127.0.0.1:{free_port()}")
        ports = {"public_ip": "127.0.0.1", "public_http_port": listening, "https_port": closed}
        findings = look(dns_resolvers=resolvers, **ports)
    assert said(findings, dns.at).verdict is Verdict.OK
    assert said(findings, resolvers[1]).verdict is Verdict.WARNING
    assert said(findings, f"Port {listening}").verdict is Verdict.OK
    assert "firewall" in said(findings, f"Port {closed}").mend
    assert said(findings, "ACME server").verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("days", "verdict"), [(60, Verdict.OK), (10, Verdict.WARNING), (-1, Verdict.WRONG)], ids=["good", "soon", "expired"]
)
def test_a_certificate_is_complained_about_before_it_runs_out(days: int, verdict: Verdict) -> None:
    ends = timezone.now() + timedelta(days=days)
    failed = {"failures": 2, "error_message": "The name does not lead here.", "error_hint": "Correct its A record."}
    Certificate.objects.create(names=["panel.example.com"], fingerprint="0" * 64, not_after=ends, **failed)
    found = said(look(), "Certificate of the panel")
    assert found.verdict is verdict
    if verdict is not Verdict.OK:
        assert "The name does not lead here." in found.detail
        assert found.mend.startswith("Correct its A record.")
