"""Settings of one host name: nothing passes that could be more than a value in Nginx's configuration."""

from __future__ import annotations

import ipaddress
import re

import bcrypt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infrastructure.errors import Refused
from infrastructure.web_settings import headers, networks, password_hash, user_name

NASTY = st.lists(
    st.one_of(st.sampled_from([";", "\n", "\r\n", "$host", '"', "\\", "{", "}", ":", "\0"]), st.text(max_size=5))
)


def shown(refusal: Refused) -> None:
    assert refusal.message.isprintable()


@given(NASTY.map("".join), NASTY.map("".join))
@example("X-A\r\nSet-Cookie", "b")
@example("X-A", "b\r\nSet-Cookie: c")
@example("X-A", "$http_cookie")
def test_a_header_is_one_line_without_variables_or_refused(name: str, value: str) -> None:
    try:
        found = headers({name: value})
    except Refused as refusal:
        shown(refusal)
        return
    for header, text in found.items():
        assert re.fullmatch(r"[A-Za-z0-9-]+", header)
        assert text.isascii() and text.isprintable() and "$" not in text


@pytest.mark.parametrize(
    "name",
    ["Connection", "transfer-encoding", "X-Bakery-Release", "X-Accel-Redirect", "Content-Length", "Server",
     "Strict-Transport-Security", "Set-Cookie", "Upgrade"],
)  # fmt: skip
def test_headers_that_are_not_a_sites_to_set_are_refused(name: str) -> None:
    with pytest.raises(Refused):
        headers({name: "x"})


def test_a_header_is_there_once_whatever_its_capitals() -> None:
    assert headers({"X-Frame-Options": " DENY "}) == {"X-Frame-Options": "DENY"}
    with pytest.raises(Refused, match="twice"):
        headers({"X-A": "1", "x-a": "2"})


def test_networks_are_addresses_and_cidr_alone() -> None:
    assert networks(["203.0.113.7, 10.0.0.0/8\n2001:db8::/32", "203.0.113.7"]) == (
        "203.0.113.7/32",
        "10.0.0.0/8",
        "2001:db8::/32",
    )
    with pytest.raises(Refused, match=r"Type 10\.0\.0\.0/8\."):
        networks(["10.1.2.3/8"])
    with pytest.raises(Refused, match="looks like"):
        networks(["all; allow all"])
    for text in ("fe80::1%eth0", "fe80::1%x;}", "::1%$host"):  # addresses, to Python
        with pytest.raises(Refused):
            networks([text])


@given(st.lists(st.text(max_size=20)))
def test_whatever_is_given_as_networks_is_one_or_refused(texts: list[str]) -> None:
    try:
        found = networks(texts)
    except Refused as refusal:
        shown(refusal)
        return
    for network in found:
        ipaddress.ip_network(network)


def test_a_password_is_hashed_as_crypt_reads_it() -> None:
    hashed = password_hash("correct horse")
    assert re.fullmatch(r"\$2b\$05\$[./A-Za-z0-9]{53}", hashed)
    assert bcrypt.checkpw(b"correct horse", hashed.encode())


@pytest.mark.parametrize("password", ["", "short", "x" * 73, "ü" * 37, "with\0nul in it"])
def test_a_password_that_crypt_would_cut_or_anybody_guess_is_refused(password: str) -> None:
    with pytest.raises(Refused):
        password_hash(password)


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a\n", "x" * 101, "é"])
def test_a_user_name_that_would_break_a_password_file_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        user_name(name)
