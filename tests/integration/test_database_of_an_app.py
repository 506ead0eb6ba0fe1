"""An application that counts visits in the database that was made with it, through every way in which it is started."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.instance import Instance
from tests.integration.apps import MIGRATES, counts_visits
from tests.integration.conftest import MakeApp
from tests.integration.driving import Driven, rows
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


def process_log(app: Driven, number: int) -> str:
    release = next(found for found in app.releases if found["number"] == number)
    found = rows(
        app.instance,
        "SELECT c.data FROM deployments_logchunk c JOIN deployments_logstream s ON s.id = c.stream_id"
        " WHERE s.release_id = %s AND s.kind = 'process' ORDER BY c.seq",
        release["id"],
    )
    return "".join(row["data"] for row in found)


def test_the_count_goes_on_through_deploys_restarts_and_rollbacks(make_app: MakeApp) -> None:
    app = made_with_database(make_app)
    first = app.deploy()
    assert first["state"] == "succeeded", app.build_log()
    assert visit(app) == ("1", 1)
    app.repository.commit(counts_visits("2"))
    assert app.deploy()["state"] == "succeeded", app.build_log()
    assert visit(app) == ("2", 2)
    assert app.ask("restart")["state"] == "succeeded", app.build_log()
    assert visit(app) == ("2", 3)
    assert app.ask("rollback")["state"] == "succeeded", app.build_log()
    assert visit(app) == ("1", 4)
    assert app.get().json()["who"].endswith("_owner")  # what it makes belongs to no password


def test_no_log_shows_the_password(make_app: MakeApp) -> None:
    app = made_with_database(make_app)
    task = app.deploy()
    assert task["state"] == "succeeded", app.build_log()
    password, log = password_of(app), app.build_log()
    assert "the build has no database" in log
    assert "migrated postgresql://bakery_db_" in log and ":[secret]@127.0.0.1:" in log
    said = until(lambda: found if "reaches postgresql://" in (found := process_log(app, 1)) else "")
    assert ":[secret]@127.0.0.1:" in said
    steps = str(app.steps(task["id"]))
    for text in (log, said, steps):
        assert password not in text


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
    (backup,) = rows(instance, "SELECT * FROM databases_backup WHERE subject = %s", app.name)
    assert (backup["state"], backup["reason"]) == ("good", "deploy")

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
