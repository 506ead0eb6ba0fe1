"""Which names a certificate is asked for with, and what a person is told of the others."""

from __future__ import annotations

import pytest

from domains.models import Certificate, Challenge, Domain, Verdict
from domains.services.eligibility import choose, covers, is_public


def domain(name: str, verdict: Verdict = Verdict.RIGHT, *, generated: bool = False) -> Domain:
    return Domain(hostname=name, verdict=verdict, generated=generated)


def test_names_whose_dns_is_right_are_ready_and_the_others_are_left_out_with_the_reason() -> None:
    names = [
        domain("shop.example.com"),
        domain("www.example.com", Verdict.WRONG),
        domain("new.example.com", Verdict.UNCHECKED),
        domain("*.example.com"),
        domain("shop.localhost", generated=True),
    ]
    chosen = choose(None, names)
    assert chosen.ready == ("shop.example.com",)
    assert set(chosen.left_out) == {"www.example.com", "new.example.com", "*.example.com"}
    assert "does not lead here" in chosen.left_out["www.example.com"]
    assert "DNS record" in chosen.left_out["*.example.com"]


def test_an_override_takes_all_but_wildcards() -> None:
    names = [domain("shop.example.com", Verdict.WRONG), domain("*.example.com", Verdict.RIGHT)]
    assert choose(None, names, override_dns=True).ready == ("shop.example.com",)


def test_a_record_proves_wildcards_and_what_they_hold_is_not_asked_for_beside_them() -> None:
    certificate = Certificate(challenge=Challenge.DNS)
    names = [domain("*.example.com", Verdict.WRONG), domain("www.example.com"), domain("example.com")]
    assert choose(certificate, names).ready == ("*.example.com", "example.com")


def test_a_name_that_was_proven_before_is_tried_again_until_it_stands_in_the_others_way() -> None:
    certificate = Certificate(names=["shop.example.com", "www.example.com"])
    names = [domain("shop.example.com"), domain("www.example.com", Verdict.WRONG)]
    assert choose(certificate, names).ready == ("shop.example.com", "www.example.com")
    certificate.error_id = "acme.unreachable"  # says nothing of any name
    assert choose(certificate, names).ready == ("shop.example.com", "www.example.com")
    certificate.error_id = "acme.unauthorized"
    assert choose(certificate, names).ready == ("shop.example.com",)


@pytest.mark.parametrize(
    ("name", "public"),
    [
        ("shop.example.com", True),
        ("localhost", False),
        ("shop.localhost", False),
        ("shop.203.0.113.9.sslip.io", False),
        ("shop.203-0-113-9.sslip.io", False),
        ("printer.local", False),
        ("notlocalhost.com", True),
    ],
)
def test_names_that_no_authority_issues_for(name: str, public: bool) -> None:
    assert is_public(name) is public


def test_a_wildcard_holds_one_label() -> None:
    assert covers(["*.example.com"], "shop.example.com")
    assert not covers(["*.example.com"], "a.shop.example.com")
    assert not covers(["*.example.com"], "example.com")
    assert covers(["*.example.com"], "*.example.com")
