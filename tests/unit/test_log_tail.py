from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.logs.tail import FileTail


class App:
    """Writes as supervisord does: closes and renames the file, then opens a new one."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "app.log"
        self.written = b""
        self.number = 0
        self.path.touch()

    def write(self, count: int, ending: bytes = b"\n") -> None:
        for _ in range(count):
            data = f"line {self.number}".encode() + ending
            self.number += 1
            self.written += data
            with self.path.open("ab") as file:
                file.write(data)

    def rotate(self) -> None:
        first, second = self.path.with_name("app.log.1"), self.path.with_name("app.log.2")
        if first.exists():
            first.replace(second)
        self.path.replace(first)
        self.path.touch()


def read_all(tail: FileTail, most: int = 64) -> bytes:
    data = b""
    while piece := tail.read(most):
        data += piece.data
    return data


# Each step is something that happens; "restart" throws the reader away, as kill -9 does, and goes on by its cursor.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 6)),
        st.tuples(st.just("unfinished"), st.just(1)),
        st.tuples(st.just("rotate"), st.just(1)),
        st.tuples(st.just("read"), st.integers(1, 3)),
        st.tuples(st.just("restart"), st.just(1)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_nothing_is_lost_or_doubled_by_rotations_and_restarts(
    tmp_path_factory: object, script: list[tuple[str, int]]
) -> None:
    app = App(tmp_path_factory.mktemp("tail"))  # type: ignore[attr-defined]
    tail, cursor, stored, unstored = FileTail(app.path, {}), {}, b"", b""
    rotations = 0
    for what, count in script:
        if what == "write":
            app.write(count)
        elif what == "unfinished":
            app.write(1, ending=b" ")
        elif what == "rotate" and rotations < 2:  # more than the backups hold is said to be missing: see below
            app.rotate()
            rotations += 1
        elif what == "read":
            for _ in range(count):
                piece = tail.read(40)
                if piece:
                    unstored += piece.data
                if piece and piece.cursor:
                    whole, _, unstored = unstored.rpartition(b"\n")
                    stored += whole + b"\n"
                    cursor = piece.cursor
        elif what == "restart":
            tail.close()
            tail, unstored = FileTail(app.path, cursor), b""
    assert stored + unstored + read_all(tail) == app.written
    tail.close()


def test_lines_that_were_rotated_away_unread_are_said_to_be_missing(tmp_path: Path) -> None:
    app = App(tmp_path)
    app.write(2)
    tail = FileTail(app.path, {})
    first = tail.read(1000)
    assert first is not None
    for _ in range(4):
        app.write(1)
        app.rotate()
    app.write(1)
    after_restart = FileTail(app.path, first.cursor or {})
    piece = after_restart.read(1000)
    assert piece is not None
    assert piece.missed
    assert piece.data + read_all(after_restart) == b"line 4\nline 5\nline 6\n"
    tail.close()
    after_restart.close()


def test_a_file_that_was_emptied_in_place_is_read_from_its_start(tmp_path: Path) -> None:
    app = App(tmp_path)
    app.write(5)
    tail = FileTail(app.path, {})
    read_all(tail)
    app.path.write_bytes(b"new\n")
    assert read_all(tail) == b""  # it sees that the file has shrunk …
    assert read_all(tail) == b"new\n"  # … and goes on at its start
    tail.close()


def test_a_file_that_does_not_exist_yet_is_awaited(tmp_path: Path) -> None:
    tail = FileTail(tmp_path / "app.log", {})
    assert tail.read(100) is None
    App(tmp_path).write(1)
    assert read_all(tail) == b"line 0\n"
    tail.close()


def test_a_file_that_nobody_rotates_is_emptied_once_it_was_read(tmp_path: Path) -> None:
    app = App(tmp_path)
    tail = FileTail(app.path, {}, emptied_at=100)
    app.write(20)
    seen = read_all(tail)
    before = tail.position()
    assert app.path.stat().st_size == 0
    app.write(3)
    again = FileTail(app.path, {**before, "offset": 10_000}, emptied_at=100)  # one that knows nothing of it
    assert read_all(again) == b"line 20\nline 21\nline 22\n"
    assert seen + read_all(tail) == app.written


def test_a_file_that_ends_within_a_line_is_left_as_it_is(tmp_path: Path) -> None:
    app = App(tmp_path)
    tail = FileTail(app.path, {}, emptied_at=100)
    app.write(20)
    app.write(1, ending=b"")
    assert read_all(tail) == app.written == app.path.read_bytes()
