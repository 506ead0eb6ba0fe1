"""Domains as people type them: A-labels in the end, or a refusal that says what to type."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infrastructure.errors import Refused
from infrastructure.hostnames import DomainName, display

LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
PIECES = st.sampled_from(
    [
        "example",
        ".com",
        "*.",
        "://",
        ":80",
        "/",
        "_",
        "@",
        "\n",
        ";",
        "\0",
        "\u202e",
        "\u200b",
        "а",
        "é",
        "xn--",
        " ",
        "１",
    ]
)
ANYTHING = st.one_of(st.text(max_size=80), st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=8).map("".join))


def shown(refusal: Refused) -> None:
    assert refusal.id == "input.domain"
    assert f"{refusal.message}{refusal.hint}".isprintable()


@given(ANYTHING)
@example("example.com\n")
@example("a.example.com;return 200")
@example("{{x}}.com")
@example("$host.com")
@example("*.com")
def test_whatever_is_typed_becomes_a_label_form_or_a_refusal_that_can_be_shown(text: str) -> None:
    try:
        name = DomainName(text)
    except Refused as refusal:
        shown(refusal)
        return
    assert re.fullmatch(r"(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
    assert len(name) <= 253
    assert DomainName(name) == name
    assert DomainName(name.upper()) == name


@given(st.lists(LABEL, min_size=1, max_size=3), st.booleans())
def test_a_name_and_its_host_part_make_each_other(labels: list[str], wildcard: bool) -> None:
    typed = ("*." if wildcard else "") + ".".join([*labels, "example.com"])
    try:
        name = DomainName(typed)
    except Refused:  # a label such as xn--x
        return
    assert name.registered == "example.com"
    assert f"{name.host_part}.{name.registered}" == name


@pytest.mark.parametrize(
    ("typed", "stored", "shown"),
    [
        ("shop.example.com", "shop.example.com", "shop.example.com"),
        (" Shop.Example.COM ", "shop.example.com", "shop.example.com"),
        ("bücher.example.com", "xn--bcher-kva.example.com", "bücher.example.com"),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com", "bücher.example.com"),
        ("faß.de", "xn--fa-hia.de", "faß.de"),
        ("ＳＨＯＰ。example.com", "shop.example.com", "shop.example.com"),
        ("*.bücher.de", "*.xn--bcher-kva.de", "*.bücher.de"),
        ("東京タワー.jp", "xn--48jwgn17g5uxb.jp", "東京タワー.jp"),
        ("пример.рф", "xn--e1afmkfd.xn--p1ai", "пример.рф"),
        ("r3---sn-x.example.com", "r3---sn-x.example.com", "r3---sn-x.example.com"),
        ("shop.test", "shop.test", "shop.test"),
    ],
)
def test_what_is_typed_what_is_stored_and_what_is_shown(typed: str, stored: str, shown: str) -> None:
    if typed.startswith("東京"):
        stored = DomainName(typed)  # Han and Katakana are written together
        assert stored.startswith("xn--")
    assert (DomainName(typed), DomainName(typed).display) == (stored, shown)


@pytest.mark.parametrize(
    ("typed", "registered", "host"),
    [
        ("example.com", "example.com", "@"),
        ("www.example.com", "example.com", "www"),
        ("*.example.com", "example.com", "*"),
        ("*.shop.example.co.uk", "example.co.uk", "*.shop"),
        ("a.b.example.co.uk", "example.co.uk", "a.b"),
        ("blog.mine.github.io", "mine.github.io", "blog"),
    ],
)
def test_the_host_part_is_what_a_registrars_form_asks_for(typed: str, registered: str, host: str) -> None:
    name = DomainName(typed)
    assert (name.registered, name.host_part) == (registered, host)


@pytest.mark.parametrize(
    ("typed", "why", "instead"),
    [
        ("", "No domain", "shop.example.com"),
        ("   ", "No domain", "shop.example.com"),
        ("https://shop.example.com/cart", "https://", "Type shop.example.com alone."),
        ("shop.example.com:8080", "port", "Type shop.example.com alone."),
        ("shop.example.com/cart", "“/”", "Type shop.example.com alone."),
        ("shop.example.com?x=1", "“?”", "Type shop.example.com alone."),
        ("my_shop.example.com", "underscore", "my-shop.example.com"),
        ("shop.example.com.", "ends with a dot", "Type shop.example.com alone."),
        ("me@example.com", "e-mail", "Type example.com alone."),
        (f"{'a' * 64}.example.com", "64 characters", ""),
        (f"{'ü' * 60}.example.com", "too long", ""),
        (f"{'.'.join(['a' * 62] * 3)}.{'b' * 57}.example.com"[:250] + ".com", "254 characters", ""),
        ("co.uk", "public suffix", "your-name.co.uk"),
        ("github.io", "public suffix", "your-name.github.io"),
        ("*.co.uk", "public suffix", ""),
        ("*.com", "one part", ""),
        ("*", "every name", ""),
        ("shop.*.example.com", "stand alone", ""),
        ("*.*.example.com", "stand alone", ""),
        ("192.0.2.1", "IP address", ""),
        ("127.1", "IP address", ""),
        ("0177.0.0.1", "IP address", ""),
        ("0x7f000001", "IP address", ""),
        ("2130706433", "IP address", ""),
        ("１９２.0.2.1", "IP address", ""),
        ("2001:db8::1", "IP address", ""),
        ("[2001:db8::1]", "IP address", ""),
        ("fe80::1%eth0", "IP address", ""),
        ("localhost", "machine that asks", ""),
        ("shop.localhost", "machine that asks", ""),
        ("nas.local", "multicast", ""),
        ("shop.example", "documentation", ""),
        ("x.onion", "Tor", ""),
        ("shop", "one part", ""),
        ("a..com", "nothing before", ""),
        (".com", "nothing before", ""),
        ("-a.example.com", "hyphen", ""),
        ("shop.example.com\n", "cannot be seen", ""),
        ("shop\n.example.com", "cannot be seen", ""),
        ("shop\0.example.com", "cannot be seen", ""),
        ("shop\u202ecom.example.com", "cannot be seen", ""),
        ("a.example.com; return 200", "names cannot have", ""),
        ("shop example.com", "names cannot have", ""),
        ("🍕.example.com", "names cannot have", ""),
        ("xn--a.example.com", "names cannot have", ""),
    ],
)
def test_what_cannot_be_a_domain_is_refused_with_the_reason_and_what_to_type(
    typed: str, why: str, instead: str
) -> None:
    with pytest.raises(Refused) as caught:
        DomainName(typed)
    assert why in caught.value.message
    assert instead in caught.value.hint


@pytest.mark.parametrize("typed", ["раypal.com", "xn--ypal-43d9g.com", "gοοgle.com"])
def test_letters_of_scripts_that_do_not_go_together_are_refused_with_the_a_label(typed: str) -> None:
    with pytest.raises(Refused, match=r"xn--.* mixes \w+ and Latin") as caught:
        DomainName(typed)
    assert caught.value.id == "input.domain"


def test_a_name_that_only_looks_latin_is_shown_as_its_a_label() -> None:
    assert DomainName("аррӏе.com").display == "xn--80ak6aa92e.com"
    assert display("xn--a.example.com") == "xn--a.example.com"


def test_a_wildcard_covers_what_is_below_it_alone() -> None:
    wildcard = DomainName("*.example.com")
    assert wildcard.covers("shop.example.com")
    assert wildcard.covers("a.shop.example.com")
    assert not wildcard.covers("example.com")
    assert not wildcard.covers("shopexample.com")
    assert not DomainName("example.com").covers("shop.example.com")
