"""An application that counts visits in the database that was made with it, through every way in which it is started."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.instance import Instance
from tests.integration.apps import MIGRATES, counts_visits, healthy
from tests.integration.conftest import MakeApp
from tests.integration.driving import Driven, rows
from tests.integration.programs import kill
from tests.integration.waiting import until

pytestmark = pytest.mark.slow


def made_with_database(make_app: MakeApp, *arguments: str) -> Driven:
    return make_app(counts_visits(), "--database", "--pre-deploy-command", MIGRATES, *arguments)


def visit(app: Driven) -> tuple[str, int]:
    answer = app.get("/visit")
    assert answer.status_code == 200, answer.text[:300]
    found = answer.json()
    return found["version"], found["visits"]


def password_of(app: Driven) -> str:
    found = urlsplit(app.get("/env").json()["DATABASE_URL"]).password
    assert found
    return found


def backups(app: Driven, reason: str) -> list[dict[str, Any]]:
    """Of the application's own database; a schedule may have made others."""
    query = "SELECT * FROM databases_backup WHERE subject = %s AND reason = %s ORDER BY id"
    return rows(app.instance, query, app.name, reason)


def process_log(app: Driven, number: int) -> str:
    release = next(found for found in app.releases if found["number"] == number)
    found = rows(
        app.instance,
        "SELECT c.data FROM deployments_logchunk c JOIN deployments_logstream s ON s.id = c.stream_id"
        " WHERE s.release_id = %s AND s.kind = 'process' ORDER BY c.seq",
        release["id"],
    )
    return "".join(row["data"] for row in found)


def test_the_count_goes_on_through_deploys_restarts_and_rollbacks_and_no_log_shows_the_password(
    make_app: MakeApp,
) -> None:
    app = made_with_database(make_app)
    first = app.deploy()
    log = app.build_log()
    assert first["state"] == "succeeded", log
    assert visit(app) == ("1", 1)
    assert "the build has no database" in log
    assert "migrated postgresql://bakery_db_" in log and ":[secret]@127.0.0.1:" in log
    said = until(lambda: found if "reaches postgresql://" in (found := process_log(app, 1)) else "")
    assert ":[secret]@127.0.0.1:" in said
    assert password_of(app) not in log + said + str(app.steps(first["id"]))
    app.repository.commit(counts_visits("2"))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert visit(app) == ("2", 2)
    assert app.ask("restart")["state"] == "succeeded", app.build_log()
    assert visit(app) == ("2", 3)
    assert app.ask("rollback")["state"] == "succeeded", app.build_log()
    assert visit(app) == ("1", 4)
    assert app.get().json()["who"].endswith("_owner")  # what it makes belongs to no password


def test_a_backup_comes_before_the_pre_deploy_command_and_a_failed_one_ends_the_deploy(
    instance: Instance, make_app: MakeApp
) -> None:
    app = made_with_database(make_app)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert visit(app) == ("1", 1)
    instance.manage("database", "schedule", app.name, "--before-deploys")
    app.repository.commit(counts_visits("2"))
    task = app.deploy()
    assert task["state"] == "succeeded", app.build_log()
    phases = app.phases(task["id"])
    assert phases.index("back up") < phases.index("pre-deploy")
    (backup,) = backups(app, "deploy")
    assert backup["state"] == "good"

    directory = instance.data_dir / "backups" / str(backup["database_id"])
    directory.rename(aside := directory.with_name("aside"))
    directory.write_text("no directory")
    try:
        app.repository.commit(counts_visits("3"))
        failed = app.deploy()
    finally:
        directory.unlink()
        aside.rename(directory)
    assert (failed["state"], failed["error_id"]) == ("failed", "backup.before-deploy")
    assert "pre-deploy" not in app.phases(failed["id"])
    assert visit(app) == ("2", 2)


def test_with_a_deployment_goes_its_database_after_a_last_backup(instance: Instance, make_app: MakeApp) -> None:
    app = made_with_database(make_app)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    (database,) = rows(instance, "SELECT id FROM databases_database WHERE name = %s", app.name)
    task = app.ask("delete_deployment", "--yes")
    assert task["state"] == "succeeded"
    until(lambda: not rows(instance, "SELECT 1 FROM databases_database WHERE name = %s", app.name), 90)
    on_server = f"bakery_db_{database['id']}"
    assert not rows(instance, "SELECT 1 FROM pg_database WHERE starts_with(datname, %s)", on_server)
    assert not rows(instance, "SELECT 1 FROM pg_roles WHERE starts_with(rolname, %s)", f"{on_server}_")
    assert [backup["state"] for backup in backups(app, "drop")] == ["good"]
    (dropped,) = rows(instance, "SELECT * FROM bakery_task WHERE kind = 'drop-database' AND subject = %s", app.name)
    assert dropped["state"] == "succeeded"


def test_databases_are_kept_when_that_is_said(instance: Instance, make_app: MakeApp) -> None:
    app = made_with_database(make_app)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert visit(app) == ("1", 1)
    url = app.get("/env").json()["DATABASE_URL"]
    assert app.ask("delete_deployment", "--yes", "--keep-databases")["state"] == "succeeded"
    (kept,) = rows(instance, "SELECT state, deployment_id FROM databases_database WHERE name = %s", app.name)
    assert kept == {"state": "ready", "deployment_id": None}
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM visits").fetchone() == (1,)


def test_a_rotated_password_reaches_restarts_and_rollbacks_and_no_log(instance: Instance, make_app: MakeApp) -> None:
    app = made_with_database(make_app)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert visit(app) == ("1", 1)
    before = password_of(app)
    app.repository.commit(counts_visits("2"))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    instance.manage("database", "rotate-password", app.name, "--no-wait")
    (task,) = rows(instance, "SELECT id FROM bakery_task WHERE kind = 'rotate-password' AND subject = %s", app.name)
    assert app.ended(task["id"])["state"] == "succeeded"
    now = password_of(app)
    assert now != before
    assert visit(app) == ("2", 2)
    assert app.ask("rollback")["state"] == "succeeded", app.build_log()
    assert visit(app) == ("1", 3)
    assert password_of(app) == now
    assert instance.manage_json("status", app.name)["due"] == []  # type: ignore[index]
    for number in (1, 2):
        until(lambda number=number: process_log(app, number).count("reaches postgresql://") == 2)
        assert before not in process_log(app, number)
        assert now not in process_log(app, number)


def test_the_backup_before_a_deploy_can_be_cancelled_and_outlives_a_killed_worker(
    instance: Instance, make_app: MakeApp
) -> None:
    app = made_with_database(make_app)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    instance.manage("database", "schedule", app.name, "--before-deploys")
    app.repository.commit(counts_visits("2"))
    with psycopg.connect(app.get("/env").json()["DATABASE_URL"]) as holding:
        holding.execute("LOCK TABLE visits IN ACCESS EXCLUSIVE MODE")  # a dump waits for it
        first = app.deploy(wait=False)
        app.in_phase(first["id"], "back up")
        app.cancel()
        assert app.ended(first["id"])["state"] == "cancelled"
        second = app.deploy(wait=False)
        app.in_phase(second["id"], "back up")
        kill(instance, "worker-deploys")
    assert app.ended(second["id"])["state"] == "succeeded", app.build_log()
    assert visit(app) == ("2", 1)
    assert {backup["state"] for backup in backups(app, "deploy")} == {"good"}


def test_what_was_attached_since_comes_with_the_next_deploy_and_not_with_a_restart(
    instance: Instance, make_app: MakeApp
) -> None:
    app, other = make_app(healthy()), make_app(healthy(), "--database").name
    assert app.deploy()["state"] == "succeeded", app.build_log()
    instance.manage("database", "attach", other, app.name, "--variable", "OTHER_URL")
    assert app.ask("restart")["state"] == "succeeded"
    assert "OTHER_URL" not in app.get("/env").json()
    assert instance.manage_json("status", app.name)["not_live_yet"] == ["env OTHER_URL"]  # type: ignore[index]
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert "using what was built then" in app.build_log()
    assert app.get("/env").json()["OTHER_URL"].startswith("postgresql://")
    instance.manage("database", "detach", other, app.name, "--variable", "OTHER_URL")
    assert app.ask("rollback")["state"] == "succeeded", app.build_log()
    assert "OTHER_URL" not in app.get("/env").json()  # the release before had none


def test_a_database_that_another_deployment_uses_stays(instance: Instance, make_app: MakeApp) -> None:
    app, other = make_app(healthy(), "--database"), make_app(healthy())
    instance.manage("database", "attach", app.name, other.name, "--variable", "SHARED_URL")
    assert app.ask("delete_deployment", "--yes")["state"] == "succeeded"
    assert other.deploy()["state"] == "succeeded", other.build_log()
    with psycopg.connect(other.get("/env").json()["SHARED_URL"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_release_whose_database_was_dropped_is_refused_before_anything_ends(
    instance: Instance, make_app: MakeApp
) -> None:
    app = make_app(healthy("1"), "--database", one_writer=True)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    instance.manage("database", "drop", app.name, "--yes", "--no-backup")
    failed = app.ask("restart")
    assert (failed["state"], failed["error_id"]) == ("failed", "database.gone")
    assert f"v1 of {app.name} wants the database {app.name} in DATABASE_URL" in failed["error_message"]
    assert app.version() == "1"
    app.repository.commit(healthy("2"))
    assert app.deploy()["state"] == "succeeded", app.build_log()
