from __future__ import annotations

import io

import pytest

from bakery.panel import sealed
from infrastructure.errors import Problem
from infrastructure.secret import Secret

PASSPHRASE = Secret("a passphrase of the tests")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "SCRYPT", {"n": 2**10, "r": 8, "p": 1})
    monkeypatch.setattr(sealed, "PIECE", 100)


def seal(data: bytes) -> bytes:
    out = io.BytesIO()
    writer = sealed.SealedWriter(out, PASSPHRASE)
    for start in range(0, len(data), 37):
        writer.write(data[start : start + 37])
    writer.finish()
    return out.getvalue()


def unseal(data: bytes, passphrase: Secret = PASSPHRASE) -> bytes:
    reader = sealed.SealedReader(io.BytesIO(data), passphrase)
    return reader.read()


def refusal(data: bytes, passphrase: Secret = PASSPHRASE) -> str:
    with pytest.raises(Problem) as caught:
        unseal(data, passphrase)
    return caught.value.id


@pytest.mark.parametrize("length", [0, 1, 99, 100, 101, 200, 1234])
def test_what_was_sealed_comes_back(length: int) -> None:
    data = bytes(range(256)) * 5
    assert unseal(seal(data[:length])) == data[:length]


def test_the_same_content_is_never_sealed_the_same_way_and_does_not_show() -> None:
    assert seal(b"secret words" * 5) != seal(b"secret words" * 5)
    assert b"secret words" not in seal(b"secret words" * 5)


def test_another_passphrase_is_told_from_damage() -> None:
    assert refusal(seal(b"x" * 500), Secret("another")) == "backup.passphrase"


@pytest.mark.parametrize("length", [50, 100, 250, 300])
def test_every_cut_is_noticed(length: int) -> None:
    whole = seal(b"x" * length)
    body = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for end in range(body, len(whole)):
        assert refusal(whole[:end]) == "backup.cut-off"
    for end in range(body):
        assert refusal(whole[:end]) in ("backup.not-one", "backup.damaged", "backup.cut-off")


def test_every_changed_byte_is_noticed() -> None:
    whole = seal(b"y" * 250)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x20
        assert refusal(bytes(changed)).startswith("backup.")


def test_pieces_can_be_neither_moved_nor_left_out_nor_added() -> None:
    whole = seal(b"a" * 100 + b"b" * 100 + b"c" * 100 + b"d")
    body = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    head, size = whole[:body], 100 + sealed.TAG
    pieces = [whole[start : start + size] for start in range(body, len(whole), size)]
    assert len(pieces) == 4
    assert refusal(head + pieces[1] + pieces[0] + pieces[2] + pieces[3]) == "backup.damaged"
    assert refusal(head + pieces[0] + pieces[2] + pieces[3]) == "backup.damaged"
    assert refusal(whole + b"more").startswith("backup.")
    assert refusal(head + pieces[0] + pieces[1] + pieces[2]) == "backup.cut-off"


def test_another_file_and_a_later_format_are_told() -> None:
    assert refusal(b"") == "backup.not-one"
    assert refusal(b"SQLite format 3\0" * 100) == "backup.not-one"
    assert refusal(seal(b"x").replace(b"SEALED 1", b"SEALED 2", 1)) == "backup.newer-format"


def test_a_file_cannot_ask_for_boundless_memory() -> None:
    assert refusal(seal(b"x").replace(b'"n": 1024', b'"n": 1099511627776', 1)) == "backup.damaged"
