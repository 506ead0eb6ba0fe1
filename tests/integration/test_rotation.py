"""How a rotation of the password goes on, waits and fails, on servers of two versions. See also the one under load."""

from __future__ import annotations

import psycopg
import pytest

from bakery.models import Alarm, Task, TaskKind, TaskState
from databases.models import Database
from databases.services import making, rotation_story
from databases.services.attaching import attach
from databases.services.connection import url_of
from databases.services.injection import fingerprints
from databases.services.provisioning import change_database
from databases.services.rotation import rotate_password
from databases.services.work import work_on
from deployments.models import Slot
from deployments.services.snapshot import Snapshot
from infrastructure.postgres import dropping, managed
from tests.integration.databases import Killed, database_host, done, failed, kill_instead, made
from tests.integration.postgres_hosts import PostgresHost
from tests.integration.test_attachments import make_deployment, serve

__all__ = ["database_host"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def lets_in(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def served() -> tuple[Database, Slot]:
    """A database that a deployment's process was started with."""
    database, deployment = made("orders"), make_deployment()
    attach(database, deployment, by=None)
    return database, serve(deployment)


def restarts() -> list[Task]:
    return list(Task.objects.filter(kind=TaskKind.RESTART).order_by("pk"))


def test_what_the_login_roles_own_stays_with_the_owner(database_host: PostgresHost) -> None:
    database = made("orders")
    first = url_of(database).reveal()
    database_host.sql("CREATE TABLE kept (id int); SET ROLE NONE; CREATE TEMP TABLE passing (id int)", url=first)
    theirs = f"CREATE TABLE owned (id int); ALTER TABLE owned OWNER TO {database.login_role()}"
    database_host.sql(theirs, database=database.database_name)
    done(rotate_password(database, by=None))
    database.refresh_from_db()
    second = url_of(database).reveal()
    assert not lets_in(first)
    assert database.next_password.reveal() == ""
    owners = database_host.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", url=second)
    assert owners == [(database.owner_role,)]
    assert f"{database.database_name}_a" not in database_host.roles()


def test_the_old_password_works_until_what_runs_was_started_anew(database_host: PostgresHost) -> None:
    database, slot = served()
    old = url_of(database).reveal()
    task = rotate_password(database, by=None)
    for _ in range(2):  # a worker looks again and again
        work_on(database.pk)
    database.refresh_from_db()
    new = url_of(database).reveal()
    assert new != old
    assert lets_in(old) and lets_in(new)
    (restart,) = restarts()
    done(change_database(database, by=None, statement_timeout=3))  # other tasks do not wait for it
    assert Task.objects.get(pk=task.pk).state == TaskState.RUNNING

    Task.objects.filter(pk=restart.pk).update(state=TaskState.SUCCEEDED)
    Slot.objects.filter(pk=slot.pk).update(databases=fingerprints(Snapshot.of(slot.deployment).databases))
    done(task)
    assert not lets_in(old)
    assert database_host.sql("SHOW statement_timeout", url=new) == [("3s",)]


def test_a_restart_that_fails_leaves_both_passwords_and_an_alarm_until_the_next_try(
    database_host: PostgresHost,
) -> None:
    database, slot = served()
    old = url_of(database).reveal()
    task = rotate_password(database, by=None)
    work_on(database.pk)
    Task.objects.filter(pk=restarts()[0].pk).update(state=TaskState.FAILED, error_message="It did not answer.")
    failed(task)
    database.refresh_from_db()
    assert lets_in(old) and lets_in(url_of(database).reveal())
    alarm = Alarm.objects.get(key=f"database.rotation:{database.pk}", ended_at=None)
    assert "It did not answer." in alarm.hint
    with psycopg.connect(old) as session:  # the app, still
        refused = failed(rotate_password(database, by=None))
        assert refused.error_id == "database.rotation-unfinished"
        session.execute("SELECT 1")
    # Nor does it change the password of one that has no connection just now.
    assert failed(rotate_password(database, by=None)).error_id == "database.rotation-unfinished"
    assert lets_in(old)
    Slot.objects.filter(pk=slot.pk).update(databases=fingerprints(Snapshot.of(slot.deployment).databases))

    again = rotate_password(database, by=None)
    work_on(database.pk)
    Task.objects.filter(pk=restarts()[-1].pk).update(state=TaskState.SUCCEEDED)
    Slot.objects.filter(pk=slot.pk).update(databases=fingerprints(Snapshot.of(slot.deployment).databases))
    done(again)
    assert not lets_in(old)
    assert not Alarm.objects.filter(key=f"database.rotation:{database.pk}", ended_at=None).exists()


def test_a_first_deploy_that_may_have_read_the_password_just_before_is_waited_for(database_host: PostgresHost) -> None:
    database, deployment = made("orders"), make_deployment()
    attach(database, deployment, by=None)
    old = url_of(database).reveal()
    deploy = Task.objects.create(
        kind=TaskKind.DEPLOY, subject=deployment.name, deployment=deployment, state=TaskState.RUNNING
    )
    task = rotate_password(database, by=None)
    work_on(database.pk)
    assert lets_in(old)
    serve(deployment)
    Slot.objects.filter(deployment=deployment, release__isnull=False).update(databases={str(database.pk): "older"})
    Task.objects.filter(pk=deploy.pk).update(state=TaskState.SUCCEEDED)
    work_on(database.pk)
    assert lets_in(old)
    (restart,) = restarts()
    Task.objects.filter(pk=restart.pk).update(state=TaskState.SUCCEEDED)
    Slot.objects.filter(release__isnull=False).update(databases=fingerprints(Snapshot.of(deployment).databases))
    done(task)
    assert not lets_in(old)


def test_a_deployment_that_is_stopped_needs_no_restart(database_host: PostgresHost) -> None:
    database, slot = served()
    slot.deployment.stopped = True
    slot.deployment.save()
    done(rotate_password(database, by=None))
    assert restarts() == []


@pytest.mark.parametrize("step", ["new_password", "make_login", "sign_in", "_switch", "_restart_all", "drop_role"])
def test_a_worker_that_is_killed_in_the_middle_leaves_a_rotation_that_the_next_one_ends(
    database_host: PostgresHost, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    database = made("orders")
    old = url_of(database).reveal()
    task = rotate_password(database, by=None)
    where = {"make_login": managed, "drop_role": dropping}.get(step, rotation_story)
    with monkeypatch.context() as patched:
        kill_instead(patched, where, step)
        with pytest.raises(Killed):
            done(task)
    database.refresh_from_db()
    assert lets_in(url_of(database).reveal())
    done(task)
    database.refresh_from_db()
    assert not lets_in(old)
    assert lets_in(url_of(database).reveal())
    assert making.limits_of(database).connections == 20


def test_a_rotation_that_cannot_begin_leaves_the_password_as_it_was(database_host: PostgresHost) -> None:
    database = made("orders")
    old = url_of(database).reveal()
    database_host.sql("ALTER ROLE bakery_admin NOCREATEROLE")
    try:
        failed(rotate_password(database, by=None))
    finally:
        database_host.sql("ALTER ROLE bakery_admin CREATEROLE")
    database.refresh_from_db()
    assert url_of(database).reveal() == old
    assert lets_in(old)
    assert f"{database.database_name}_b" not in database_host.roles()
