"""Backups and dumps come back, on servers of two major versions."""

from __future__ import annotations

import dataclasses
import gzip
import threading
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bakery.models import TaskState
from databases.models import Backup, BackupReason
from databases.services.backups import request_backup
from databases.services.cloning import clone_database
from databases.services.readers import make_reader
from databases.services.restoring import confirm_restore, request_restore, undo_restore
from databases.services.uploads import keep_upload, uploads_dir
from databases.services.work import work_on
from infrastructure.errors import Problem
from tests.integration import restores
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts
from tests.integration.restores import Cakes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

HARD = Path(__file__).with_name("hard_to_dump.sql").read_text()


@pytest.fixture(params=MAJORS)
def host(request: pytest.FixtureRequest, postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> PostgresHost:
    found = postgres_hosts.of(request.param)
    restores.use(found, tmp_path, settings)
    return found


@pytest.fixture
def cakes(host: PostgresHost, request: pytest.FixtureRequest) -> Cakes:
    return restores.make(host, "cakes")


def backed_up(cakes: Cakes) -> Backup:
    task = cakes.worked(request_backup(cakes.row, by=None))
    assert task.state == TaskState.SUCCEEDED, task.error_message
    return Backup.objects.get(task=task)


def beside(cakes: Cakes) -> set[str]:
    """Databases that are not the one of the application."""
    return {name for name in cakes.host.databases() if name.startswith(f"{cakes.row.database_name}_")}


def test_a_backup_comes_back_and_what_was_there_is_kept_until_it_is_confirmed(cakes: Cakes) -> None:
    cakes.sql(f"ALTER DATABASE {cakes.row.database_name} SET search_path = public, pg_catalog")
    backup = backed_up(cakes)
    cakes.add("later")
    task = cakes.worked(request_restore(cakes.row, backup=backup, by=None))
    assert task.state == TaskState.SUCCEEDED, task.error_message
    assert cakes.names == {"éclair"}
    cakes.add("new")  # the application goes on as before
    assert cakes.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'cakes'") == [(cakes.row.owner_role,)]
    assert cakes.sql("SHOW search_path") == [("public, pg_catalog",)]
    about = cakes.sql(
        "SELECT shobj_description(oid, 'pg_database'), pg_get_userbyid(datdba), "
        "has_database_privilege('public', oid, 'CONNECT') FROM pg_database WHERE datname = current_database()"
    )
    assert about == [(f"bakery:{cakes.row.token}", cakes.row.owner_role, False)]
    assert Backup.objects.filter(database=cakes.row, reason=BackupReason.RESTORE).good().count() == 1
    assert beside(cakes) == {cakes.row.previous}
    with pytest.raises(Problem) as caught:
        request_restore(cakes.row, backup=backup, by=None)
    assert caught.value.id == "restore.unconfirmed"

    assert cakes.worked(confirm_restore(cakes.row, by=None)).state == TaskState.SUCCEEDED
    assert (cakes.row.previous, beside(cakes)) == ("", set())
    assert cakes.names == {"éclair", "new"}
    assert not {role for role in cakes.host.roles() if role.endswith(("_load", "_dump"))}


def test_a_worker_follows_no_link_that_was_laid_where_people_upload(cakes: Cakes, tmp_path: Path) -> None:
    """The pages' process may write there, and the worker everywhere."""
    dump = gzip.compress(restores.pg_dump(cakes.host, cakes.row.database_name, "--format=custom"))
    upload = keep_upload(BytesIO(dump), "cakes.gz")
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    for name in (".unpacked", ".part"):
        (uploads_dir() / f"{upload.token}{name}").symlink_to(victim)
    task = cakes.worked(request_restore(cakes.row, upload=upload, by=None, backup_first=False))
    assert task.state == TaskState.SUCCEEDED, cakes.log(task)
    assert victim.read_text() == "untouched"
    cakes.worked(undo_restore(cakes.row, by=None))

    victim.write_text("CREATE TABLE stolen (id int);")
    upload = keep_upload(BytesIO(b"SELECT 1;"), "plain")
    task = request_restore(cakes.row, upload=upload, by=None, backup_first=False)
    (uploads_dir() / upload.token).unlink()
    (uploads_dir() / upload.token).symlink_to(victim)
    assert cakes.worked(task).error_id == "dump.gone"


def test_a_restore_is_undone(cakes: Cakes) -> None:
    backup = backed_up(cakes)
    cakes.add("later")
    cakes.worked(request_restore(cakes.row, backup=backup, by=None, backup_first=False))
    assert cakes.names == {"éclair"}
    assert cakes.worked(undo_restore(cakes.row, by=None)).state == TaskState.SUCCEEDED
    assert cakes.names == {"éclair", "later"}
    assert (cakes.row.previous, beside(cakes)) == ("", set())
    with pytest.raises(Problem) as caught:
        undo_restore(cakes.row, by=None)
    assert caught.value.id == "restore.none"


def test_the_read_only_role_reads_what_was_restored_and_what_comes_back(cakes: Cakes) -> None:
    task, secret = make_reader(cakes.row, by=None)
    assert cakes.worked(task).state == TaskState.SUCCEEDED
    read = lambda: {row[0] for row in cakes.host.sql("SELECT name FROM cakes", url=secret.reveal())}  # noqa: E731
    assert cakes.upload(b"CREATE TABLE cakes (name text); INSERT INTO cakes VALUES ('new');").state == "succeeded"
    assert read() == {"new"}
    cakes.sql("CREATE TABLE crumbs (id int)")
    assert cakes.host.sql("SELECT * FROM crumbs", url=secret.reveal()) == []
    cakes.worked(undo_restore(cakes.row, by=None))
    assert read() == {"éclair"}


def test_an_application_that_is_connected_finds_the_old_database_or_the_new_one(cakes: Cakes) -> None:
    backup = backed_up(cakes)
    cakes.add("later")
    over = threading.Event()
    seen: list[frozenset[object]] = []

    def use() -> None:
        while not over.is_set():
            try:
                seen.append(frozenset(cakes.names))
            except psycopg.OperationalError:  # cut off: it connects again
                pass

    users = [threading.Thread(target=use) for _ in range(2)]
    for user in users:
        user.start()
    try:
        task = cakes.worked(request_restore(cakes.row, backup=backup, by=None, backup_first=False))
    finally:
        over.set()
        for user in users:
            user.join()
    assert task.state == TaskState.SUCCEEDED, task.error_message
    assert set(seen) <= {frozenset({"éclair"}), frozenset({"éclair", "later"})}
    assert cakes.names == {"éclair"}


@pytest.mark.parametrize(
    ("options", "packed"),
    [
        (("--format=custom",), False),
        (("--format=custom",), True),
        ((), False),
        (("--inserts",), True),
        (("--clean", "--if-exists"), True),
    ],
    ids=["custom", "gzip of custom", "plain", "gzip of inserts", "gzip of clean"],
)
def test_what_pg_dump_wrote_comes_back_as_it_was(cakes: Cakes, options: tuple[str, ...], packed: bool) -> None:
    """Made by a superuser, with owners and rights that are not there."""
    host = cakes.host
    for query in ("DROP DATABASE IF EXISTS elsewhere", "DROP ROLE IF EXISTS stranger", "CREATE DATABASE elsewhere"):
        host.sql(query)
    host.sql("CREATE ROLE stranger")
    host.sql(HARD, database="elsewhere")
    extensions = ["pg_trgm"] if host.sql("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'") else []
    for extension in extensions:
        host.sql(f"CREATE EXTENSION {extension}", database="elsewhere")
    host.sql("ALTER TABLE parts OWNER TO stranger", database="elsewhere")
    host.sql("GRANT SELECT ON v TO stranger", database="elsewhere")
    dump = restores.pg_dump(host, "elsewhere", *options)
    before = restores.content(host, "elsewhere")
    host.sql("DROP DATABASE elsewhere")
    host.sql("DROP ROLE stranger")

    task = cakes.upload(gzip.compress(dump, 1) if packed else dump)
    assert task.state == TaskState.SUCCEEDED, f"{task.error_message}\n{cakes.log(task)}"
    assert restores.content(host, cakes.row.database_name) == before
    assert cakes.row.extensions == extensions
    owners = cakes.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname !~ '^(pg_|information)'")
    assert owners == [(cakes.row.owner_role,)]
    assert list(uploads_dir().iterdir()) == []


def test_a_database_is_cloned(cakes: Cakes) -> None:
    clone = Cakes(cakes.host, clone_database(cakes.row, name="copy", by=None))
    work_on(clone.row.pk)
    clone.row.refresh_from_db()
    assert {task.state for task in clone.row.tasks.all()} == {TaskState.SUCCEEDED}
    assert clone.names == {"éclair"}
    clone.add("its own")
    assert cakes.names == {"éclair"}
    assert beside(clone) == set()
    assert clone.row.previous == ""


@pytest.mark.skipif(len(MAJORS) < 2, reason="this machine has one version of PostgreSQL alone")
def test_dumps_of_another_version(postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> None:
    """Of an older one and of a newer one; in the custom format where there is a pg_restore that reads it."""
    older, newer = sorted((postgres_hosts.of(name) for name in MAJORS), key=lambda host: host.major)
    restores.use(newer, tmp_path, settings)
    (tmp_path / "tools").unlink()
    (tmp_path / "tools").symlink_to(postgres_hosts.of("embedded").private_tools)
    into_newer = restores.make(newer, "modern")
    dumps = {}
    for host, name in ((older, "elsewhere-old"), (newer, "elsewhere-new")):
        host.sql(f'DROP DATABASE IF EXISTS "{name}"')
        host.sql(f'CREATE DATABASE "{name}"')
        host.sql(HARD, database=name)
        dumps[host.major] = [restores.pg_dump(host, name, "--format=custom"), restores.pg_dump(host, name)]
    for dump in dumps[older.major]:
        task = into_newer.upload(dump)
        assert task.state == TaskState.SUCCEEDED, into_newer.log(task)
        assert into_newer.sql("SELECT count(*) FROM v") == [(4,)]
        into_newer.worked(confirm_restore(into_newer.row, by=None))

    settings.BAKERY = dataclasses.replace(settings.BAKERY, postgres_admin_url=older.admin)
    into_older = restores.make(older, "settled")
    custom, plain = dumps[newer.major]
    (tmp_path / "tools").unlink()  # with the older version's programs alone
    task = into_older.upload(custom)
    assert (task.state, task.error_id) == (TaskState.FAILED, "postgres.newer-dump")
    (tmp_path / "tools").symlink_to(postgres_hosts.of("embedded").private_tools)
    for dump in (custom, plain):
        task = into_older.upload(dump)
        assert task.state == TaskState.SUCCEEDED, into_older.log(task)
        assert into_older.sql("SELECT count(*) FROM v") == [(4,)]
        into_older.worked(confirm_restore(into_older.row, by=None))
