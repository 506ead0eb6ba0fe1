"""The roles of a database that Bakery makes, as statements: they are composed here and run elsewhere.

The owner role cannot sign in and owns everything. Those that sign in are members of it, and become it when they do
(``SET role``): whatever an application makes is the owner's, so the two roles that take turns own nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

Statements = list[sql.Composed]
READER_CONNECTIONS = 5
READER_SECONDS = 300


@dataclass(frozen=True)
class Limits:
    """Of each role that signs in. Seconds; 0: none."""

    connections: int
    statement_seconds: int
    idle_seconds: int


def create(role: str, comment: str) -> Statements:
    """Without any right, and unable to sign in. ``comment`` says whose it is."""
    return [
        sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)),
        sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(comment)),
    ]


def join(role: str, member: str) -> sql.Composed:
    return sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(member))


def let_in(role: str, verifier: str) -> sql.Composed:
    return sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))


def shut_out(role: str) -> sql.Composed:
    return sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role))


def let_back_in(role: str) -> sql.Composed:
    """With the password that it had."""
    return sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(role))


def limit(role: str, limits: Limits) -> Statements:
    return [
        sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(role), sql.Literal(limits.connections)),
        _set(role, "statement_timeout", f"{limits.statement_seconds}s"),
        _set(role, "idle_in_transaction_session_timeout", f"{limits.idle_seconds}s"),
    ]


def act_as(role: str, owner: str) -> Statements:
    """From its next sign-in on the role is the owner's."""
    return [join(owner, role), _set(role, "role", owner)]


def read_only(role: str) -> Statements:
    """For people: a mistake is refused before rights are looked at, and a forgotten query ends."""
    return [
        *limit(role, Limits(READER_CONNECTIONS, READER_SECONDS, READER_SECONDS)),
        _set(role, "default_transaction_read_only", "on"),
    ]


def may_read(role: str, schemas: list[str], relations: list[tuple[str, str]]) -> Statements:
    """``relations``: schema and name of tables, views and sequences."""
    reader = sql.Identifier(role)
    found: Statements = [
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(name), reader) for name in schemas
    ]
    found += [
        sql.SQL("GRANT SELECT ON TABLE {} TO {}").format(sql.Identifier(schema, name), reader)
        for schema, name in relations
    ]
    return found


def may_read_later(role: str, owner: str) -> Statements:
    """What the owner will make."""
    text = "ALTER DEFAULT PRIVILEGES FOR ROLE {} GRANT {} ON {} TO {}"
    return [
        sql.SQL(text).format(sql.Identifier(owner), sql.SQL(right), sql.SQL(what), sql.Identifier(role))
        for what, right in (("TABLES", "SELECT"), ("SEQUENCES", "SELECT"), ("SCHEMAS", "USAGE"))
    ]


def _set(role: str, setting: str, value: str) -> sql.Composed:
    return sql.SQL("ALTER ROLE {} SET {} = {}").format(
        sql.Identifier(role), sql.Identifier(setting), sql.Literal(value)
    )
