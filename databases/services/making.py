"""The stories of making and changing a database. Each step looks what is there, so any part may be cut off."""

from __future__ import annotations

import logging

from django.db import connection
from psycopg import sql

from bakery.events import announce
from databases.models import Database, DatabaseState
from databases.services import external, reader_story
from databases.services.connection import url_of
from databases.services.job import DatabaseJob
from databases.services.provisioning import EXTENSIONS
from databases.services.server import administrator, names_of, note_server
from infrastructure.errors import HostProblem, Problem
from infrastructure.postgres import dropping, managed, roles
from infrastructure.postgres.administrator import Administrator
from infrastructure.postgres.roles import Limits
from infrastructure.postgres.scram import verifier_of
from infrastructure.postgres.server import Place
from infrastructure.secret import Secret

logger = logging.getLogger(__name__)


def create(job: DatabaseJob) -> None:
    database = job.database
    if not database.is_managed:
        external.look(job)
        return
    with administrator() as admin:
        note_server(database, admin)
        job.say(f"PostgreSQL {admin.major} at {database.address}, as {admin.role}")
        close_own()
        with job.phase("roles"):
            managed.make_role(admin, names_of(database), database.owner_role)
            make_login(admin, database)
        job.refuse_cancelled()
        with job.phase("database"):
            managed.make_database(admin, names_of(database), encoding=database.encoding, locale=database.locale)
        job.refuse_cancelled()
        if database.extensions:
            with job.phase("extensions"):
                install_extensions(admin, database)
    with job.phase("sign in"):
        sign_in(database, url_of(database))
    Database.objects.filter(pk=database.pk, state=DatabaseState.CREATING).update(state=DatabaseState.READY, problem="")
    announce("database", database.pk)
    job.say(f"{database.name} is ready")


def change(job: DatabaseJob) -> None:
    """Bring the server to what the row says."""
    database = job.database
    if job.said.get("check"):
        external.look(job)
        return
    if "reader" in job.said:
        reader_story.change(job)
        return
    with administrator() as admin:
        note_server(database, admin)
        with job.phase("limits"):
            make_login(admin, database)
        with job.phase("extensions"):
            install_extensions(admin, database)
    sign_in(database, url_of(database))


def creation_failed(job: DatabaseJob, problem: Problem | None) -> None:
    """Take back what was made. Where the server is away that is left for the next try, or for dropping. What has been
    ready is in use by now: a worker that died, or was told to stop, after that takes nothing away."""
    database = job.database
    if Database.objects.filter(pk=database.pk, state=DatabaseState.READY).exists():
        return
    why = job.masker.mask(str(problem)) if problem else "It was cancelled."
    if database.is_managed:
        try:
            with administrator() as admin:
                take_away(admin, database)
        except Problem as second:
            logger.warning("Database %s: what was made of it could not be taken back: %s", database.pk, second)
    Database.objects.filter(pk=database.pk, state=DatabaseState.CREATING).update(
        state=DatabaseState.FAILED, problem=why
    )
    announce("database", database.pk)


def change_failed(job: DatabaseJob, problem: Problem | None) -> None:
    """The row says again which extensions there are."""
    database = job.database
    if not database.is_managed:
        Database.objects.filter(pk=database.pk).update(problem=job.masker.mask(str(problem or "")))
        return
    try:
        with administrator() as admin, admin.inside(database.database_name) as inside:
            rows = inside.rows("SELECT extname FROM pg_extension WHERE extname = ANY(%s)", list(EXTENSIONS))
    except Problem:
        return
    Database.objects.filter(pk=database.pk).update(extensions=sorted(str(row[0]) for row in rows))


def make_login(admin: Administrator, database: Database) -> None:
    """The role that signs in, with the password and the limits of the row."""
    managed.make_login(
        admin, names_of(database), database.login_role(), verifier_of(database.password), limits_of(database)
    )


def limits_of(database: Database) -> Limits:
    return Limits(database.connection_limit, database.statement_timeout, database.idle_timeout)


def install_extensions(admin: Administrator, database: Database) -> None:
    with admin.inside(database.database_name) as inside:
        managed.set_extensions(inside, database.owner_role, list(database.extensions), EXTENSIONS)


def sign_in(database: Database, url: Secret) -> None:
    """As an application does it; it is the owner then."""
    with Place.of(url.reveal()).connect() as session:
        row = session.execute("SELECT current_user").fetchone()
    if not row or row[0] != database.owner_role:
        raise HostProblem(
            "database.role",
            f"A role of {database.name} signs in, and is not {database.owner_role} then.",
            "Somebody changed the role on the server. Change the database's limits once to set it right.",
        )


def take_away(admin: Administrator, database: Database) -> None:
    """Databases and roles: all that is ours on the server, also what tasks that were killed have left. What the roles
    own elsewhere becomes that of a role without rights."""
    names = names_of(database)
    found = dropping.roles_of(admin, names)
    for role in found:
        admin.run(roles.shut_out(role))
        dropping.end_sessions(admin, role)
    for name in dropping.databases_of(admin, names):
        dropping.drop_database(admin, names, name)
    for role in found:
        dropping.drop_role(admin, names, role)


def close_own() -> None:
    """Bakery's own database is open to nobody else either. One that was restored is another one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname = current_database()"
            " AND has_database_privilege('public', oid, 'CONNECT') AND pg_has_role(datdba, 'USAGE')"
        )
        if cursor.fetchone():
            statement = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
            cursor.execute(statement.format(sql.Identifier(connection.settings_dict["NAME"])))
