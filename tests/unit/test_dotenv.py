from __future__ import annotations

import pytest

from deployments.services.env import parse_dotenv
from infrastructure.errors import Refused


def test_it_reads_plain_quoted_and_exported_values() -> None:
    text = 'A=1\nexport B=two words # a comment\nC=\'lit$eral \\n\'\nD="x\\ny\\"z"\n\n# nothing\nE=\n'
    assert parse_dotenv(text) == {"A": "1", "B": "two words", "C": "lit$eral \\n", "D": 'x\ny"z', "E": ""}


def test_it_reads_a_quoted_value_over_several_lines() -> None:
    assert parse_dotenv('KEY="-----BEGIN\nabc\n-----END" # pem\nNEXT=1') == {
        "KEY": "-----BEGIN\nabc\n-----END",
        "NEXT": "1",
    }


def test_a_hash_inside_a_value_is_kept_when_nothing_separates_it() -> None:
    assert parse_dotenv("COLOUR=#fff\nURL=http://x/#top") == {"COLOUR": "#fff", "URL": "http://x/#top"}


def test_the_last_of_two_equal_names_wins() -> None:
    assert parse_dotenv("A=1\nA=2") == {"A": "2"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nnonsense", "Line 2"),
        ("A='open", "line 1"),
        ("A='x' y", "Line 1"),
        ("1A=x", "Line 1"),
        ("A=1\nPORT=3", "Line 2"),
    ],
)
def test_what_it_cannot_read_is_refused_with_the_line(text: str, line: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_dotenv(text)
    assert line in refusal.value.message


def test_a_nul_and_an_oversized_value_are_refused() -> None:
    for value in ("a\0b", "x" * 1_048_576):
        with pytest.raises(Refused):
            parse_dotenv(f"A={value}")
