"""Databases that Bakery makes, and their roles: made, completed and dropped so that each step can be done again.

Whose they are stands in comments, ``bakery:<token>``, on the roles and on the database: what another Bakery made
under the same name is refused. Roles are made in one transaction with their comment; a database cannot be, so one
that has none yet is known by its owner.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import errors, sql

from infrastructure.errors import HostProblem, Refused
from infrastructure.postgres import roles
from infrastructure.postgres.administrator import Administrator
from infrastructure.postgres.roles import Limits
from infrastructure.postgres.server import first_line, in_words

WRONG_LOCALE = (errors.WrongObjectType, errors.InvalidParameterValue, errors.UndefinedObject)


@dataclass(frozen=True)
class Names:
    """What belongs to one database of Bakery's."""

    database: str
    owner: str
    token: str

    @property
    def comment(self) -> str:
        return f"bakery:{self.token}"


def has_role(admin: Administrator, names: Names, role: str) -> bool:
    """Whether it is there and ours; refused where it is somebody else's."""
    rows = admin.rows("SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", role)
    if rows and rows[0][0] != names.comment:
        raise _taken("role", role)
    return bool(rows)


def has_database(admin: Administrator, names: Names, database: str = "") -> bool:
    """Whether it is there and ours; refused where it is somebody else's."""
    name = database or names.database
    rows = admin.rows(
        "SELECT shobj_description(d.oid, 'pg_database'), pg_get_userbyid(datdba) FROM pg_database d WHERE datname = %s",
        name,
    )
    if not rows:
        return False
    comment, owner = rows[0]
    is_ours = comment == names.comment or (owner == names.owner and has_role(admin, names, names.owner))
    if not is_ours:
        raise _taken("database", name)
    return True


def make_role(admin: Administrator, names: Names, role: str) -> None:
    """Where it is not there. The administrator is a member: it acts for the role, and ends its sessions."""
    if not has_role(admin, names, role):
        admin.run(*roles.create(role, names.comment))
    if not admin.is_superuser:
        admin.run(roles.join(role, admin.role))


def make_login(admin: Administrator, names: Names, role: str, verifier: str, limits: Limits) -> None:
    """A role that signs in and then is the owner; one that is there gets this password."""
    make_role(admin, names, role)
    admin.run(*roles.limit(role, limits), *roles.act_as(role, names.owner), roles.let_in(role, verifier))


def make_database(
    admin: Administrator, names: Names, *, encoding: str = "UTF8", locale: str = "", database: str = ""
) -> None:
    """Empty, the owner role's, closed to everybody else from its first moment on. ``database``: one beside the one
    that applications use."""
    name = database or names.database
    if not has_database(admin, names, name):
        chosen = locale or _usual_locale(admin, encoding)
        statement = sql.SQL(
            "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}"
            " ALLOW_CONNECTIONS false"
        ).format(sql.Identifier(name), sql.Identifier(names.owner), *map(sql.Literal, (encoding, chosen, chosen)))
        try:
            with in_words():
                admin.connection.execute(statement)
        except HostProblem as problem:
            if isinstance(problem.__cause__, WRONG_LOCALE):
                raise Refused(
                    "database.locale",
                    f"PostgreSQL cannot make a database with encoding {encoding} and locale {chosen}: "
                    f"{first_line(problem.__cause__)}.",
                    "Choose one that the server has (SELECT collcollate FROM pg_collation), or leave it empty.",
                ) from problem
            raise
    settle_database(admin, names, name)


def settle_database(admin: Administrator, names: Names, database: str) -> None:
    """Ours, the owner role's alone, and open: whatever it was when it was made or restored."""
    name = sql.Identifier(database)
    admin.run(
        sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(names.comment)),
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name),
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name),
    )
    if admin.is_superuser and admin.major <= 14:  # since 15 nobody but the owner may write there
        with admin.inside(database) as inside:
            inside.run(
                sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
                sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(names.owner)),
            )


def set_extensions(inside: Administrator, owner: str, wanted: list[str], known: tuple[str, ...]) -> None:
    """Of ``known``: those that are wanted and no others. ``inside`` is in the database. They are made as the owner,
    who can then drop and restore them; one that only a superuser may make is made by one."""
    there = {
        str(row[0]) for row in inside.rows("SELECT extname FROM pg_extension WHERE extname = ANY(%s)", list(known))
    }
    available = {
        str(row[0]) for row in inside.rows("SELECT name FROM pg_available_extensions WHERE name = ANY(%s)", wanted)
    }
    if lacking := sorted(set(wanted) - available):
        raise HostProblem(
            "database.extension-missing",
            f"The PostgreSQL server does not have {', '.join(lacking)}.",
            f"Install it there ({_package(lacking[0], inside.major)}), or go without.",
        )
    for name in sorted(set(wanted) - there):
        statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public")
        _as_owner(inside, owner, statement.format(sql.Identifier(name)), name)
    for name in sorted(there - set(wanted)):
        try:
            _as_owner(inside, owner, sql.SQL("DROP EXTENSION {}").format(sql.Identifier(name)), name)
        except HostProblem as problem:
            if isinstance(problem.__cause__, errors.DependentObjectsStillExist):
                raise Refused(
                    "database.extension-used",
                    f"{name} cannot be taken away: {first_line(problem.__cause__)}.",
                    "Drop what uses it first.",
                ) from problem
            raise


def make_reader(admin: Administrator, names: Names, role: str, verifier: str) -> None:
    make_role(admin, names, role)
    admin.run(*roles.read_only(role))
    let_read(admin, names, role, names.database)
    admin.run(roles.let_in(role, verifier))


def let_read(admin: Administrator, names: Names, role: str, database: str) -> None:
    """Everything that is in the database now, and what the owner makes later. Again after each restore."""
    admin.run(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(role)),
    )
    with admin.inside(database) as inside:
        schemas = [str(row[0]) for row in inside.rows(SCHEMAS)]
        relations = [(str(schema), str(name)) for schema, name in inside.rows(RELATIONS)]
        inside.run(*roles.may_read(role, schemas, relations), *roles.may_read_later(role, names.owner))


# What the administrator may give rights on, without PostgreSQL's own.
SCHEMAS = r"""
    SELECT nspname FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' AND pg_has_role(nspowner, 'USAGE')
"""
RELATIONS = r"""
    SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND pg_has_role(relowner, 'USAGE')
"""


def _as_owner(inside: Administrator, owner: str, statement: sql.Composed, extension: str) -> None:
    try:
        inside.run(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner)), statement)
    except HostProblem as problem:
        if not isinstance(problem.__cause__, errors.InsufficientPrivilege):
            raise
        if not inside.is_superuser:
            raise HostProblem(
                "database.extension-superuser",
                f"On this server only a superuser may install or drop the extension {extension}.",
                f"As a superuser, in the database {inside.connection.info.dbname}: "
                f'CREATE EXTENSION "{extension}"; or write “trusted = true” into its control file.',
            ) from problem
        inside.run(statement)


def _usual_locale(admin: Administrator, encoding: str) -> str:
    """Unicode's letters, and an order that no update of the system's libraries changes."""
    if encoding.upper() not in ("UTF8", "UTF-8"):
        return "C"
    rows = admin.rows(
        "SELECT collcollate FROM pg_collation"
        " WHERE collprovider = 'c' AND lower(replace(collcollate, '-', '')) = 'c.utf8' LIMIT 1"
    )
    return str(rows[0][0]) if rows else "C"


def _package(extension: str, major: int) -> str:
    return f"apt-get install postgresql-{major}-pgvector" if extension == "vector" else "postgresql-contrib"


def _taken(what: str, name: str) -> HostProblem:
    return HostProblem(
        "database.name-taken",
        f"PostgreSQL has a {what} {name} already, which this Bakery did not make.",
        "Another Bakery works on the same server, or the panel's records were replaced. Rename or drop it by hand "
        "when nobody needs it, or name another server in BAKERY_POSTGRES_ADMIN_URL.",
    )
