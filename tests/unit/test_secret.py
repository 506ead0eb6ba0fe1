"""What must never be printed."""

from __future__ import annotations

import base64
import pickle
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from infrastructure.secret import EVERYDAY, Masker, Secret

# Long enough that a value has no business in a log by chance, and nothing that occurs in the surroundings below.
VALUES = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=10, max_size=60).filter(
    lambda value: value.lower() not in EVERYDAY
)
AROUND = st.sampled_from(["", "x", "xy", "before ", "=", '"', "://user:"])


def test_a_secret_shows_itself_to_nobody_who_does_not_ask() -> None:
    secret = Secret("hunter2hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret:>20} {[secret]} {{'a': {secret}}}"
    assert secret.reveal() == "hunter2hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@given(VALUES, AROUND, AROUND)
def test_a_value_is_masked_wherever_it_stands(value: str, before: str, after: str) -> None:
    masked = Masker([Secret(value)]).mask(before + value + after)
    assert value not in masked
    assert masked == f"{before}[secret]{after}"


@given(VALUES)
def test_its_url_forms_are_masked(value: str) -> None:
    masker = Masker([value])
    for form in (quote(value, safe=""), quote(value), quote_plus(value)):
        assert form not in masker.mask(f"GET /?token={form}&x=1")


@given(VALUES, st.binary(max_size=5), st.binary(max_size=5))
def test_its_base64_is_masked_also_inside_a_longer_text(value: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + value.encode() + after).decode()
    masked = Masker([value]).mask(encoded)
    # What is left are the characters that mix with the neighbours: too few to hold the value.
    left = masked.replace("[secret]", "")
    assert "[secret]" in masked
    assert len(left) <= len(base64.b64encode(before)) + len(base64.b64encode(after)) + 8


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_of_several_values_none_is_left(values: list[str]) -> None:
    assume(not any(value in "[secret]" for value in values))
    masked = Masker(values).mask(" ".join(values))
    assert not any(value in masked for value in values)


def test_each_line_of_a_key_is_masked() -> None:
    key = "-----BEGIN KEY-----\nMIIabcdefghijklmnop\nqrstuvwxyz0123456789\n-----END KEY-----"
    assert "abcdefgh" not in Masker([key]).mask("line: MIIabcdefghijklmnop")


def test_short_values_tear_no_holes_into_logs() -> None:
    assert Masker(["1", "on", ""]).mask("listening on port 3001") == "listening on port 3001"


@pytest.mark.parametrize("value", ["production", "error", " TRUE ", "blue", "8080", "on"])
def test_an_everyday_setting_tears_no_holes_into_logs(value: str) -> None:
    line = f"error: listening on 8080 in production, true blue{value}"
    assert Masker([value]).mask(line) == line


@pytest.mark.parametrize("value", ["853211", "Production!7", "swordfish"])
def test_what_could_be_a_secret_is_masked_however_plain_it_is(value: str) -> None:
    assert Masker([value]).mask(f"key {value}") == "key [secret]"
