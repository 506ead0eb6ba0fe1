"""The end of a database, on servers of two versions: what goes, what stays, and that any part may be cut off."""

from __future__ import annotations

import psycopg
import pytest

from bakery.models import Task, TaskKind, TaskState
from databases.models import Backup, BackupReason, BackupState, Database, DatabaseState
from databases.services import making, moving
from databases.services.connection import url_of
from databases.services.dropping import drop_database
from databases.services.provisioning import change_database, create_database
from databases.services.readers import make_reader
from databases.services.server import administrator, names_of
from infrastructure.errors import HostProblem, Problem
from infrastructure.postgres import dropping as on_server
from infrastructure.postgres import managed
from infrastructure.postgres.scram import new_password, verifier_of
from tests.integration.databases import Killed, database_host, done, failed, kill_instead, made, refusal
from tests.integration.postgres_hosts import PostgresHost

__all__ = ["database_host"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def ours(host: PostgresHost, database: Database) -> set[str]:
    """What the server has of it, databases and roles."""
    names = host.databases() | host.roles()
    return {name for name in names if f"{name}_".startswith(f"bakery_db_{database.pk}_")}


def test_a_database_goes_with_its_roles_and_its_last_backup_stays(database_host: PostgresHost) -> None:
    database = made("orders")
    database_host.sql("CREATE TABLE visits (id int); INSERT INTO visits VALUES (1)", url=url_of(database).reveal())
    done(make_reader(database, by=None)[0])
    task = done(drop_database(database, by=None))
    assert ours(database_host, database) == set()
    assert not Database.objects.filter(pk=database.pk).exists()
    backup = Backup.objects.get(task=task)
    assert (backup.state, backup.reason, backup.subject) == (BackupState.GOOD, BackupReason.DROP, "orders")
    assert backup.rows == {"public.visits": 1}


def test_what_a_task_that_was_killed_has_left_goes_too(database_host: PostgresHost) -> None:
    database = made("littered")
    left = f"{database.database_name}_dump"
    with administrator() as admin:
        names = names_of(database)
        managed.make_login(admin, names, left, verifier_of(new_password()), making.limits_of(database))
        managed.make_database(admin, names, database=f"{database.database_name}_before")
    assert len(ours(database_host, database)) == 5
    done(drop_database(database, by=None, backup_first=False))
    assert ours(database_host, database) == set()


def test_without_a_last_backup_there_is_none(database_host: PostgresHost) -> None:
    database = made("fleeting")
    done(drop_database(database, by=None, backup_first=False))
    assert ours(database_host, database) == set()
    assert not Backup.objects.exists()


def test_sessions_that_use_it_are_ended(database_host: PostgresHost) -> None:
    database = made("in-use")
    with psycopg.connect(url_of(database).reveal()) as session:
        session.execute("CREATE TABLE held (id int)")  # and its transaction stays open
        done(drop_database(database, by=None, backup_first=False))
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")


def test_what_its_roles_own_elsewhere_becomes_that_of_a_role_without_rights(database_host: PostgresHost) -> None:
    database = made("spread")
    database_host.sql(f"CREATE DATABASE elsewhere OWNER {database.owner_role}")
    try:
        database_host.sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)", database="elsewhere")
        database_host.sql(f"ALTER TABLE kept OWNER TO {database.login_role()}", database="elsewhere")
        done(drop_database(database, by=None, backup_first=False))
        assert ours(database_host, database) == set()
        owners = "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'"
        assert database_host.sql(owners, database="elsewhere") == [("bakery_admin_heir",)]
        assert database_host.sql("SELECT id FROM kept", database="elsewhere") == [(1,)]
    finally:
        database_host.sql("DROP DATABASE elsewhere")


def test_code_that_an_application_left_elsewhere_never_acts_as_the_administrator(database_host: PostgresHost) -> None:
    mallory, bob = made("mallorys"), made("bobs")
    database_host.sql(f"CREATE DATABASE elsewhere OWNER {mallory.owner_role}")
    elsewhere = {url: url_of(of).reveal().rsplit("/", 1)[0] + "/elsewhere" for url, of in (("m", mallory), ("b", bob))}
    try:
        database_host.sql(
            "CREATE SCHEMA lair; GRANT USAGE ON SCHEMA lair TO PUBLIC;"
            "CREATE FUNCTION lair.boon() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
            " EXECUTE 'CREATE ROLE smuggled'; RETURN current_user; END $$",
            url=elsewhere["m"],
        )
        done(drop_database(mallory, by=None, backup_first=False))
        assert "permission denied to create role" in refusal(elsewhere["b"], "SELECT lair.boon()")
        assert "smuggled" not in database_host.roles()
    finally:
        database_host.sql("DROP DATABASE elsewhere")


def test_a_drop_that_somebody_elses_session_prevents_leaves_a_database_that_can_be_used(
    database_host: PostgresHost,
) -> None:
    database = made("watched")
    task, reader = make_reader(database, by=None)
    done(task)
    address = database_host.address(database.database_name, "root", "the-tests-own-password")
    with psycopg.connect(address):  # a superuser's psql
        assert failed(drop_database(database, by=None, backup_first=False)).error_id == "postgres.in-use"
        database.refresh_from_db()
        assert database.state == DatabaseState.READY
        assert database_host.sql("SELECT 1", url=url_of(database).reveal()) == [(1,)]
        assert database_host.sql("SELECT 1", url=reader.reveal()) == [(1,)]
    done(drop_database(database, by=None, backup_first=False))
    assert ours(database_host, database) == set()


def test_what_has_been_ready_is_not_taken_back_because_its_worker_died(
    database_host: PostgresHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = create_database("in-use-by-now", by=None)
    task = database.tasks.get()
    with monkeypatch.context() as patched:
        kill_instead(patched, making, "announce")
        with pytest.raises(Killed):
            done(task)
    url = url_of(database).reveal()
    database_host.sql("CREATE TABLE orders (id int)", url=url)
    with monkeypatch.context() as patched:
        patched.setattr(making, "close_own", lambda: 1 / 0)
        failed(task)
    database.refresh_from_db()
    assert database.state == DatabaseState.READY
    assert database_host.sql("SELECT count(*) FROM orders", url=url) == [(0,)]


def test_a_database_of_which_nothing_could_be_seen_is_not_called_lost(
    database_host: PostgresHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, going = made("there"), made("going")
    Database.objects.filter(pk=going.pk).update(state=DatabaseState.DROPPING)

    def away(*args: object) -> bool:
        raise HostProblem("postgres.silent", "PostgreSQL does not answer.")

    monkeypatch.setattr(moving, "has_database", away)
    moving.take_over()
    database.refresh_from_db()
    assert (database.state, "could not be seen" in database.problem) == (DatabaseState.READY, True)
    assert Database.objects.filter(pk=going.pk).exists()


def test_rights_that_a_superuser_gave_it_elsewhere_are_named_and_then_it_goes(database_host: PostgresHost) -> None:
    database = made("favoured")
    role = database.login_role()
    database_host.sql(f"CREATE TABLE favour (id int); GRANT SELECT ON favour TO {role}")
    try:
        task = failed(drop_database(database, by=None, backup_first=False))
        assert task.error_id == "database.role-has-rights"
        assert "favour" in task.error_message
        assert f'DROP OWNED BY "{role}"' in task.error_hint
        database_host.sql(f'DROP OWNED BY "{role}"')
        done(drop_database(database, by=None, backup_first=False))
    finally:
        database_host.sql("DROP TABLE favour")
    assert ours(database_host, database) == set()


def test_a_server_that_is_away_drops_nothing_and_the_database_can_be_used_again(database_host: PostgresHost) -> None:
    database = made("steady")
    database_host.stop()
    try:
        task = failed(drop_database(database, by=None, backup_first=False))
    finally:
        database_host.start()
    assert task.error_id == "postgres.silent"
    database.refresh_from_db()
    assert database.state == DatabaseState.READY
    done(drop_database(database, by=None, backup_first=False))
    assert ours(database_host, database) == set()


def test_a_last_backup_that_fails_keeps_the_database(database_host: PostgresHost) -> None:
    database = made("careful")
    url = url_of(database).reveal()
    database_host.sql("CREATE TABLE visits (id int)", url=url)
    with psycopg.connect(database_host.address(database.database_name, "root", "the-tests-own-password")) as superuser:
        superuser.execute("CREATE TABLE secret_of_the_superuser (id int)")  # which the dump may not read
        superuser.commit()
    task = failed(drop_database(database, by=None))
    assert task.error_id.startswith(("postgres.", "database."))
    database.refresh_from_db()
    assert database.state == DatabaseState.READY
    assert database_host.sql("SELECT count(*) FROM visits", url=url) == [(0,)]


def test_nothing_more_is_asked_of_a_database_that_is_being_dropped(database_host: PostgresHost) -> None:
    database = made("going")
    drop_database(database, by=None, backup_first=False)
    with pytest.raises(Problem) as caught:
        change_database(database, by=None, statement_timeout=5)
    assert caught.value.id == "database.dropping"


def test_one_that_could_not_be_made_is_dropped_too(database_host: PostgresHost) -> None:
    database = create_database("stillborn", by=None, locale="nowhere")
    failed(database.tasks.get())
    database.refresh_from_db()
    done(drop_database(database, by=None))
    assert not Database.objects.filter(pk=database.pk).exists()


@pytest.mark.parametrize("step", ["shut out", "dropped", "first role", "last role"])
def test_a_worker_that_is_killed_in_the_middle_leaves_a_drop_that_the_next_one_ends(
    database_host: PostgresHost, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    database = made("stubborn")
    done(make_reader(database, by=None)[0])
    task = drop_database(database, by=None, backup_first=False)
    with monkeypatch.context() as patched:
        if step == "shut out":
            kill_instead(patched, on_server, "databases_of")
        elif step == "dropped":
            kill_instead(patched, on_server, "drop_role")
        elif step == "first role":
            kill_instead(patched, on_server, "drop_role", calls_before=1)
        else:
            kill_instead(patched, on_server, "drop_role", calls_before=2)
        with pytest.raises(Killed):
            done(task)
    done(Task.objects.get(pk=task.pk))
    assert ours(database_host, database) == set()
    assert not Database.objects.filter(pk=database.pk).exists()
    assert Task.objects.get(pk=task.pk).state == TaskState.SUCCEEDED


@pytest.mark.parametrize("step", ["make_role", "make_login", "make_database", "settle_database", "sign_in"])
def test_a_worker_that_is_killed_while_it_makes_one_leaves_what_the_next_one_completes(
    database_host: PostgresHost, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    database = create_database("slow-born", by=None)
    with monkeypatch.context() as patched:
        kill_instead(patched, making if step == "sign_in" else managed, step)
        with pytest.raises(Killed):
            done(database.tasks.get())
    done(database.tasks.get(kind=TaskKind.CREATE_DATABASE))
    assert database_host.sql("SELECT 1", url=url_of(database).reveal()) == [(1,)]
    public = "SELECT has_database_privilege('public', datname, 'CONNECT') FROM pg_database WHERE datname = %s"
    assert database_host.sql(public.replace("%s", f"'{database.database_name}'")) == [(False,)]
