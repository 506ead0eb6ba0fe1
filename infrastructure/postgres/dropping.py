"""Databases and roles of Bakery's taken away, whatever else they own. Every step can be done again."""

from __future__ import annotations

from psycopg import errors, sql

from infrastructure.errors import HostProblem
from infrastructure.postgres import roles
from infrastructure.postgres.administrator import Administrator
from infrastructure.postgres.managed import Names, has_database, has_role, make_role
from infrastructure.postgres.swapping import drop

# Databases in which the role owns something or has been given a right; what belongs to no database is in none.
WITH_SOMETHING = """
    SELECT DISTINCT datname, datallowconn FROM pg_shdepend JOIN pg_database ON pg_database.oid = dbid
    WHERE refclassid = 'pg_authid'::regclass AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s)
    ORDER BY datname
"""
OWNS = """
    SELECT 1 FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND deptype = 'o'
      AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = %s) LIMIT 1
"""
LONGEST_NAME = 63  # NAMEDATALEN - 1


def databases_of(admin: Administrator, names: Names) -> list[str]:
    """All that are ours: the one that applications use, and those that restores have left beside it."""
    rows = admin.rows(
        "SELECT datname FROM pg_database"
        " WHERE (datname = %s OR starts_with(datname, %s)) AND (pg_get_userbyid(datdba) = %s"
        " OR shobj_description(oid, 'pg_database') = %s) ORDER BY datname",
        names.database,
        f"{names.database}_",
        names.owner,
        names.comment,
    )
    return [str(row[0]) for row in rows]


def roles_of(admin: Administrator, names: Names) -> list[str]:
    """All that are ours, the owner last."""
    rows = admin.rows(
        "SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = %s AND starts_with(rolname, %s)"
        " ORDER BY rolname = %s, rolname",
        names.comment,
        f"{names.database}_",
        names.owner,
    )
    return [str(row[0]) for row in rows]


def drop_database(admin: Administrator, names: Names, database: str) -> None:
    """Its connections are ended."""
    if has_database(admin, names, database):
        drop(admin.connection, database)


def end_sessions(admin: Administrator, role: str) -> int:
    """All of this role's, in whichever database."""
    return len(admin.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", role))


def drop_role(admin: Administrator, names: Names, role: str, *, heir: str = "") -> list[str]:
    """What it owns becomes ``heir``'s, or that of a role without any right; returns the databases in which it owned
    something or had a right."""
    if not has_role(admin, names, role):
        return []
    if not admin.is_superuser:
        admin.run(roles.join(role, admin.role))
    admin.run(roles.shut_out(role))
    end_sessions(admin, role)
    found = admin.rows(WITH_SOMETHING, role)
    if not heir and admin.rows(OWNS, role):
        heir = _powerless(admin)
    for database, is_open in found:
        if not is_open:
            raise HostProblem(
                "database.role-owns-elsewhere",
                f"The role {role} owns something in the database {database}, which takes no connections.",
                f'As a superuser: ALTER DATABASE "{database}" ALLOW_CONNECTIONS true; then try again.',
            )
        with admin.inside(str(database)) as inside:
            _hand_over(inside, role, heir)
    _hand_over(admin, role, heir)  # databases and the like, which are in none
    try:
        admin.run(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    except HostProblem as problem:
        if not isinstance(problem.__cause__, errors.DependentObjectsStillExist):
            raise
        detail = (problem.__cause__.diag.message_detail or "").replace("\n", "; ")[:300]
        raise HostProblem(
            "database.role-has-rights",
            f"The role {role} cannot be dropped: others gave it rights that Bakery may not take away ({detail}).",
            f'As a superuser, in each of these databases: DROP OWNED BY "{role}"; then try again.',
        ) from problem
    return [str(database) for database, _ in found]


def _powerless(admin: Administrator) -> str:
    """The role that gets what applications have left in databases which are not theirs: never the administrator, with
    whose rights a view, a function (SECURITY DEFINER) or an index on an expression would act from then on."""
    role = admin.role.encode()[: LONGEST_NAME - len("_heir")].decode(errors="ignore") + "_heir"
    make_role(admin, Names("", role, "heir"), role)
    return role


def _hand_over(inside: Administrator, role: str, heir: str) -> None:
    """No heir: it owns nothing, and what is dropped are rights."""
    left = sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role))
    if heir:
        inside.run(sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(role), sql.Identifier(heir)), left)
    else:
        inside.run(left)
