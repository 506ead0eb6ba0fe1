"""A dump becomes the database: filled beside it, looked at, and swapped in. The old one stays under another name.

Names on the server come from the task, so whoever goes on after a kill -9 knows how far it came: once there is a
database ``…_before_<task>`` the swap is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connections as django_connections
from psycopg import sql

from bakery.events import announce
from bakery.panel.backup import private_tools
from databases.models import Database
from databases.services.job import DatabaseJob
from databases.services.provisioning import EXTENSIONS
from databases.services.reader_story import let_reader_in
from databases.services.server import administrator, names_of
from databases.services.uploads import open_upload
from infrastructure.disk import is_short
from infrastructure.errors import HostProblem, Refused
from infrastructure.postgres import archives, dropping, managed, plain_dump, temporary
from infrastructure.postgres.administrator import Administrator
from infrastructure.postgres.dump_files import Format, Unpacked, too_large
from infrastructure.postgres.dumps import RESTORE_SECONDS
from infrastructure.postgres.server import Place, in_words
from infrastructure.postgres.swapping import swap

LOOK_SECONDS = 2.0


def incoming_of(job: DatabaseJob) -> str:
    return f"{job.database.database_name}_incoming_{job.task.pk}"


def before_of(job: DatabaseJob) -> str:
    return f"{job.database.database_name}_before_{job.task.pk}"


def is_swapped(job: DatabaseJob) -> bool:
    with administrator() as admin:
        return managed.has_database(admin, names_of(job.database), before_of(job))


def bring_in(job: DatabaseJob, file: Path, found: Format, *, most: int | None = None) -> None:
    """Up to the swap, which is the last step. ``most``: bytes that it may take, unpacked and on the server."""
    names = replace(names_of(job.database), database=incoming_of(job))
    with administrator() as admin:
        with job.phase("make a new database"):
            dropping.drop_database(admin, names, names.database)  # of a worker that was killed
            managed.make_database(admin, names, encoding=job.database.encoding, locale=job.database.locale)
            extensions = _Extensions(job, admin, names.database)
            extensions.make()
        with temporary.as_member(admin, names, load_role(job.database)) as place:
            with job.phase("fill it"):
                _fill(job, admin, place, file, found, extensions.need, most)
            with job.phase("look at it"):
                _settle(job, admin, place)
    job.refuse_cancelled()
    with job.phase("swap"):
        swap_in(job, names.database, before_of(job))


def swap_in(job: DatabaseJob, incoming: str, outgoing: str) -> None:
    """What is connected is cut off, and finds the other database when it connects again."""
    with administrator() as admin:
        let_reader_in(admin, job.database, incoming)
        swap(admin.place, job.database.database_name, incoming, outgoing)


def note_extensions(database: Database) -> None:
    """The row says what the database has."""
    with administrator() as admin, admin.inside(database.database_name) as inside:
        rows = inside.rows("SELECT extname FROM pg_extension WHERE extname = ANY(%s)", list(EXTENSIONS))
    Database.objects.filter(pk=database.pk).update(extensions=sorted(str(row[0]) for row in rows))
    announce("database", database.pk)


def take_away(job: DatabaseJob) -> None:
    """What was not swapped in. Where the server is away it is removed with the next restore, or with the database."""
    names = names_of(job.database)
    with suppress(HostProblem), administrator() as admin:
        dropping.drop_database(admin, names, incoming_of(job))
        dropping.drop_role(admin, names, load_role(job.database), heir=names.owner)


def load_role(database: Database) -> str:
    return f"{database.database_name}_load"


class _Extensions:
    """Those that the new database has: what the old one has, and what a dump needs and is allowed."""

    def __init__(self, job: DatabaseJob, admin: Administrator, database: str) -> None:
        self._job, self._admin, self._database = job, admin, database
        self._there = set(job.database.extensions)

    def make(self) -> None:
        if self._there:
            with self._admin.inside(self._database) as inside:
                managed.set_extensions(inside, self._job.database.owner_role, sorted(self._there), EXTENSIONS)

    def need(self, name: str) -> None:
        if name in self._there:
            return
        if name not in EXTENSIONS:
            plain_dump.no_extension(name)
            return
        self._job.say(f"The dump needs the extension {name}: it is added")
        self._there.add(name)
        try:
            self.make()
        except HostProblem as problem:
            if problem.id == "postgres.refused":
                raise Refused(
                    "dump.extension",
                    f"The dump needs the extension {name}, which only a superuser may install on this server.",
                    "Name a superuser in BAKERY_POSTGRES_ADMIN_URL, or make the dump without it.",
                ) from problem
            raise


def _fill(
    job: DatabaseJob,
    admin: Administrator,
    place: Place,
    file: Path,
    found: Format,
    need_extension: Callable[[str], None],
    most: int | None,
) -> None:
    watch = _Watch(job, admin, place.name, most)
    if found.is_custom:
        archives.load(
            file,
            place,
            admin.major,
            job.runner,
            need_extension=need_extension,
            watch=watch.look,
            on_output=job.log,
            private_tools=private_tools(),
        )
        return
    with open_upload(file) as opened, place.connect() as connection:
        source = Unpacked(opened, most) if found.is_gzipped else opened
        _without_limits(connection)
        with watch.beside(connection):
            left_out = plain_dump.load(source, connection, need_extension=need_extension)  # type: ignore[arg-type]
    for why, times in sorted(left_out.items()):
        job.say(f"Left out: {why} ({times})")


def _settle(job: DatabaseJob, admin: Administrator, place: Place) -> None:
    """What a dump does not bring: statistics for the planner, and what was set for the old database alone."""
    with place.connect() as connection, in_words():
        _without_limits(connection)
        connection.execute("ANALYZE")
        row = connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone()
    job.say(f"{row[0] if row else 0} tables")
    rows = admin.rows(
        "SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
        " WHERE setrole = 0 AND datname = %s",
        job.database.database_name,
    )
    for setting, _, value in (str(row[0]).partition("=") for row in rows):
        try:
            with place.connect() as connection:
                connection.execute("SELECT set_config(%s, %s, false)", (setting, value))
                connection.execute(
                    sql.SQL("ALTER DATABASE {} SET {} FROM CURRENT").format(
                        sql.Identifier(place.name), sql.Identifier(*setting.split("."))
                    )
                )
        except psycopg.Error as error:
            job.say(f"The setting {setting} of the old database was not taken over: {error.diag.message_primary}")


def _without_limits(connection: psycopg.Connection) -> None:
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"):
        connection.execute(sql.SQL("SET {} = 0").format(sql.Identifier(setting)))
    connection.execute("SET synchronous_commit = off")


class _Watch:
    """Ends what was cancelled, what takes for ever, what grows larger than it may, and what fills the disk."""

    def __init__(self, job: DatabaseJob, admin: Administrator, database: str, most: int | None) -> None:
        self._job, self._admin, self._database, self._most = job, admin, database, most
        self._looked = 0.0
        self._until = time.monotonic() + RESTORE_SECONDS

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._job.refuse_cancelled()
        if now > self._until:
            raise Refused("dump.too-long", f"The restore took more than {RESTORE_SECONDS / 3600:g} hours.")
        if is_short(settings.BAKERY.data_dir):
            raise HostProblem("postgres.disk-full", "The disk is running full, so the restore was ended.", "Make room.")
        if self._most is not None:
            size = self._admin.rows("SELECT pg_database_size(%s)", self._database)[0][0]
            if isinstance(size, int) and size > self._most:
                raise too_large(self._most)
        self._looked = now

    @contextmanager
    def beside(self, connection: psycopg.Connection) -> Iterator[None]:
        """Looks while the block runs, whose one statement may never end, and may not let itself be cancelled: so its
        session is ended."""
        over = threading.Event()
        reasons: list[BaseException] = []

        def watch() -> None:
            try:
                while not over.wait(0.5):
                    self.look()
            except BaseException as reason:  # noqa: BLE001 - raised where the work is done
                reasons.append(reason)
                with suppress(HostProblem):
                    self._admin.rows("SELECT pg_terminate_backend(%s)", connection.info.backend_pid)
            finally:
                django_connections.close_all()

        thread = threading.Thread(target=watch, name="watching-a-restore")
        thread.start()
        try:
            yield
        except Exception:
            over.set()
            thread.join()
            if reasons:
                raise reasons[0] from None
            raise
        finally:
            over.set()
            thread.join()
        if reasons:
            raise reasons[0]
