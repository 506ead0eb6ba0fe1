"""A plain dump is taken apart as psql would, whatever its pieces, and a command to psql in it is refused."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infrastructure.errors import Refused
from infrastructure.postgres import statements as module
from infrastructure.postgres.plain_dump import no_extension
from infrastructure.postgres.plain_rules import left_out
from infrastructure.postgres.statements import Statements


class Drops(io.RawIOBase):
    """Gives out so many bytes at a time, whatever is asked for."""

    def __init__(self, data: bytes, at_once: int) -> None:
        self._data = io.BytesIO(data)
        self._at_once = at_once

    def read(self, size: int = -1) -> bytes:
        return self._data.read(self._at_once)


def taken_apart(data: bytes, at_once: int = 1 << 20, *, standard: bool = True) -> list[bytes]:
    """As the server would have it: after a COPY … FROM stdin come its rows."""
    statements = Statements(Drops(data, at_once))
    statements.standard_strings = standard
    found = []
    while (statement := statements.next()) is not None:
        found.append(statement.text)
        if statement.text.upper().startswith(b"COPY") and b"STDIN" in statement.text.upper():
            found.append(b"".join(statements.data()))
    return found


LETTERS = st.text("ab;'\"\\$-/*()\n\t é:", max_size=12)
STRINGS = LETTERS.map(lambda text: "'" + text.replace("'", "''") + "'")
ESCAPED = LETTERS.map(lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'")
IN_PARTS = st.tuples(ESCAPED, ESCAPED).map(lambda two: f"{two[0]} -- part\n  {two[1][1:]}")
NAMES = LETTERS.map(lambda text: '"' + text.replace('"', '""') + '"')
TAGS = st.sampled_from(["$$", "$a$", "$_x1$", "$é$"])
DOLLARS = st.tuples(TAGS, LETTERS).map(lambda both: both[0] + both[1].replace("$", "€") + both[0])
BLOCKS = LETTERS.map(lambda text: "/*" + text.replace("*", "x").replace("/", "y") + "/* inner ; ' */ ; */")
LINES = LETTERS.map(lambda text: "--" + text.replace("\n", " ") + "\n")
WORDS = st.sampled_from(
    ["a$b$c", "be'' ", "x1 - 2", "/ 3", "e 'x;'", "U&'d;'", "B'01'", "begin", "$1", "a::text", "\n"]
)
IN_PARENTHESES = st.sampled_from(["(a; b)", "((;))", "(')')"])
PIECES = st.one_of(STRINGS, ESCAPED, IN_PARTS, NAMES, DOLLARS, BLOCKS, LINES, WORDS, IN_PARENTHESES)
STATEMENTS = st.lists(PIECES, min_size=1, max_size=6).map(lambda pieces: "INSERT " + " ".join(pieces) + " end")


@settings(max_examples=300, deadline=None)
@given(st.lists(STATEMENTS, max_size=5), st.integers(1, 40), st.sampled_from([";", "; ", ";\n", ";;\n-- x;\n/* y; */"]))
def test_statements_end_at_their_own_semicolon_whatever_stands_in_them(
    texts: list[str], at_once: int, between: str
) -> None:
    data = "".join(text + between for text in texts).encode()
    assert taken_apart(data, at_once) == [text.strip().encode() for text in texts]


ROWS = st.lists(st.text("ab\\.;'\t\r ", max_size=8).filter(lambda row: row.rstrip("\r") != "\\."), max_size=6)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.integers(1, 30), st.sampled_from(["\n", "\r\n"]))
def test_rows_of_a_copy_come_through_unchanged(rows: list[str], at_once: int, line_end: str) -> None:
    data = "".join(row + "\n" for row in rows).encode()
    dump = f"COPY t FROM stdin;{line_end}".encode() + data + f"\\.{line_end}".encode() + b"SELECT 1;"
    assert taken_apart(dump, at_once) == [b"COPY t FROM stdin", data, b"SELECT 1"]


@pytest.mark.parametrize("at_once", [1, 7, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 ELSE 2 END; END",
        "create or replace procedure p(a int) language sql begin atomic insert into t values (a); end",
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; END; $$",
        "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
    ],
)
def test_a_function_may_hold_semicolons(text: str, at_once: int) -> None:
    assert taken_apart(f"{text};SELECT 2;".encode(), at_once) == [text.encode(), b"SELECT 2"]


def test_where_ordinary_strings_know_backslashes_they_are_read_so() -> None:
    assert taken_apart(rb"SELECT 'a\';b'; SELECT 2;", standard=False) == [rb"SELECT 'a\';b'", b"SELECT 2"]
    assert taken_apart(rb"SELECT 'a\'; SELECT 2;") == [rb"SELECT 'a\'", b"SELECT 2"]


@pytest.mark.parametrize(
    "command", ["\\! touch /tmp/x", "\\i /etc/passwd", "\\o |sh", "\\copy t from program 'id'", "\\"]
)
@pytest.mark.parametrize("before", ["", "SELECT 1;\n", "SELECT 1 ", "COPY t FROM stdin;\n1\n\\.\n", "\\restrict abc\n"])
@pytest.mark.parametrize("at_once", [1, 1000])
def test_a_command_to_psql_is_refused(before: str, command: str, at_once: int) -> None:
    with pytest.raises(Refused) as caught:
        taken_apart(f"{before}{command}\nSELECT 2;".encode(), at_once)
    assert caught.value.id == "dump.command"
    assert f"ine {(before.count(chr(10))) + 1} " in caught.value.message


def test_what_a_pg_dump_of_today_writes_around_itself_is_no_such_command() -> None:
    dump = (
        b"--\n-- PostgreSQL database dump\n--\n\n\\restrict a1B2\n\nSET a = 1;\n-- PostgreSQL database dump complete\n"
    )
    assert taken_apart(dump + b"\n\\unrestrict a1B2\n\n") == [b"SET a = 1"]


def test_a_change_of_the_database_is_refused_in_words_of_its_own() -> None:
    with pytest.raises(Refused) as caught:
        taken_apart(b"\\connect other\n")
    assert "--create" in caught.value.hint


@pytest.mark.parametrize(
    "dump",
    [
        "SELECT 'a;",
        "SELECT 1",
        "SELECT $x$ ; $y$",
        "/* ; ",
        'SELECT "a;',
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;",
        "COPY t FROM stdin;\n1\n2\n",
        "--\n-- PostgreSQL database dump\n--\nSELECT 1;\n",
    ],
)
def test_a_dump_that_is_cut_off_is_told_from_a_whole_one(dump: str) -> None:
    for at_once in (1, 1000):
        with pytest.raises(Refused) as caught:
            taken_apart(dump.encode(), at_once)
        assert caught.value.id == "dump.cut-off"


def test_a_statement_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_STATEMENT", 1 << 20)
    with pytest.raises(Refused) as caught:
        taken_apart(b"SELECT '" + b"x" * (4 << 20) + b"';")
    assert caught.value.id == "dump.statement-too-long"


def test_the_line_of_a_statement_is_known() -> None:
    statements = Statements(io.BytesIO(b"-- a\nSELECT\n1;\n\nCOPY t FROM stdin;\n1\n2\n\\.\n/* b\n */ SELECT 3;"))
    lines = []
    while (statement := statements.next()) is not None:
        lines.append(statement.line)
        if statement.text.startswith(b"COPY"):
            list(statements.data())
    assert lines == [2, 5, 10]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE public.cakes OWNER TO postgres",
        'ALTER FUNCTION f(a integer) OWNER TO "odd name"',
        "GRANT SELECT ON TABLE a TO b",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b",
        "SET SESSION AUTHORIZATION 'postgres'",
        "SET ROLE postgres",
        "CREATE SCHEMA public",
        "DROP SCHEMA IF EXISTS public",
        "COMMENT ON EXTENSION plpgsql IS 'x'",
        "CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "SET default_tablespace = fast",
    ],
)
def test_owners_and_rights_of_another_server_are_left_out(statement: str) -> None:
    assert left_out(statement.encode(), no_extension)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE a ADD b int",
        "CREATE SCHEMA publication",
        "SET a = 1",
        "COMMENT ON TABLE a IS 'OWNER TO x'",
        "SELECT 1",
    ],
)
def test_the_rest_is_carried_out(statement: str) -> None:
    assert left_out(statement.encode(), no_extension) == ""


@pytest.mark.parametrize(
    ("statement", "id"),
    [
        ('CREATE EXTENSION "plpython3u"', "dump.extension"),
        ("CREATE DATABASE a", "dump.whole-database"),
        ("CREATE ROLE a", "dump.whole-server"),
        ("ALTER USER a PASSWORD 'b'", "dump.whole-server"),
    ],
)
def test_what_belongs_to_the_server_is_refused(statement: str, id: str) -> None:
    with pytest.raises(Refused) as caught:
        left_out(statement.encode(), no_extension)
    assert caught.value.id == id
