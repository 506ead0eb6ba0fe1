from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from deployments.logs.lines import LONGEST_HELD, LONGEST_LINE, LineAssembler, folded
from infrastructure.secret import MASK, Masker

SECRET = "hunter2-correct-horse"


def assemble(pieces: list[bytes], *secrets: str) -> list[str]:
    assembler = LineAssembler(Masker(secrets))
    lines = [line for piece in pieces for line in assembler.feed(piece)]
    return lines + assembler.finish()


def split_at(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


output = st.lists(
    st.sampled_from(
        ["one", "zwölf", "\n", "\r", "\r\n", "\0", "\x1b[31mred\x1b[0m", SECRET, "日本", "\u2028", "\x85", " "]
    )
)


@given(output, st.lists(st.integers(0, 500), max_size=12))
def test_how_the_bytes_are_cut_into_writes_changes_nothing(parts: list[str], places: list[int]) -> None:
    data = "".join(parts).encode()
    assert assemble(split_at(data, places), SECRET) == assemble([data], SECRET)


@given(output, st.lists(st.integers(0, 500), max_size=12))
def test_every_line_is_whole_masked_and_without_nul_and_return(parts: list[str], places: list[int]) -> None:
    text = "".join(parts)
    lines = assemble(split_at(text.encode(), places), SECRET)
    assert len(lines) == text.count("\n") + (not text.endswith("\n") and bool(text.rpartition("\n")[2].strip("\0\r")))
    for line in lines:
        assert line.index("\n") == len(line) - 1
        assert not any(unwanted in line for unwanted in (SECRET, "\0", "\r"))


@given(st.binary(max_size=400))
def test_any_bytes_become_text_that_postgresql_takes(data: bytes) -> None:
    for line in assemble([data]):
        assert "\0" not in line
        line.encode()


def test_a_character_cut_between_two_writes_is_put_together() -> None:
    euro = "€\n".encode()
    assert assemble([euro[:1], euro[1:2], euro[2:]]) == ["€\n"]


def test_progress_that_was_painted_over_is_folded_to_its_last_state() -> None:
    assert assemble([b"10%\r", b"50%\r", b"100%", b"\r\n", b"done\n"]) == ["100%\n", "done\n"]
    assert folded("\r\r") == ""


def test_a_progress_bar_without_end_takes_no_memory() -> None:
    assembler = LineAssembler(Masker())
    for number in range(20_000):
        assembler.feed(b"\r" + str(number).encode() * 20)
    assert len("".join(assembler._held)) < 1000
    assert assembler.finish() == ["19999" * 20 + "\n"]


def test_colours_are_kept() -> None:
    assert assemble([b"\x1b[1;31mno\x1b[0m\n"]) == ["\x1b[1;31mno\x1b[0m\n"]


def test_a_long_line_is_cut_and_says_how_much_is_missing() -> None:
    (line,) = assemble([b"x" * 100_000 + b"\n"])
    assert len(line.encode()) <= LONGEST_LINE
    assert line.endswith(" more characters cut]\n")
    kept = line.index(" …")
    assert f"[{100_000 - kept:,} more" in line


def test_a_line_of_many_megabytes_is_held_in_bounds() -> None:
    assembler = LineAssembler(Masker())
    for _ in range(100):
        assert assembler.feed(b"y" * 100_000) == []
        assert assembler._held_length <= LONGEST_HELD
    (line,) = assembler.feed(b"\n")
    assert len(line.encode()) <= LONGEST_LINE


def test_a_secret_across_the_place_where_a_line_is_cut_is_masked_whole() -> None:
    for before in range(LONGEST_LINE - 120, LONGEST_LINE, 7):
        (line,) = assemble([b"x" * before + SECRET.encode() + b"x" * 500 + b"\n"], SECRET)
        assert "hunter" not in line


def test_a_secret_that_comes_in_two_writes_is_masked() -> None:
    assert assemble([b"key=hunter2-cor", b"rect-horse!\nnext\n"], SECRET) == [f"key={MASK}!\n", "next\n"]
