"""Several things asked of one deployment at once: the newest wins, nothing is done twice, and a cancel is kept."""

from __future__ import annotations

import threading

import psutil
import pytest

from tests.instance import Instance
from tests.integration import apps, programs
from tests.integration.apps import AppRepository
from tests.integration.conftest import MakeApp
from tests.integration.driving import Driven, rows
from tests.integration.gates import Gates
from tests.integration.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Driven:
    repository = AppRepository(tmp_path_factory.mktemp("busy") / "app", apps.healthy("first"))
    driven = Driven(instance, "busy", repository).create(watch_seconds=0)
    assert driven.deploy()["state"] == "succeeded", driven.build_log()
    return driven


def held_in_build(app: Driven, gates: Gates, version: str) -> int:
    """A deploy that is building and goes on when the gate “build” is opened; its task."""
    app.repository.commit(apps.build_waits(gates.url("build"), version))
    task = app.deploy(wait=False)
    gates.wait_for("build")
    return int(task["id"])


def test_the_newest_of_several_deploys_wins(app: Driven, gates: Gates) -> None:
    running = held_in_build(app, gates, "second")
    app.repository.commit(apps.healthy("third"))
    overtaken = app.deploy(wait=False)
    app.repository.commit(apps.healthy("fourth"))
    newest = app.deploy(wait=False)
    assert app.task(overtaken["id"])["state"] == "superseded"
    gates.open("build")
    assert app.ended(running)["state"] == "succeeded"
    assert app.ended(newest["id"])["state"] == "succeeded"
    assert app.version() == "fourth"
    assert app.states[:3] == ["live", "superseded", "retained"]


def test_deploys_asked_for_at_the_same_moment_leave_one_order(app: Driven) -> None:
    app.repository.commit(apps.healthy("crowd"))
    asked: list[int] = []
    threads = [threading.Thread(target=lambda: asked.append(app.deploy(wait=False)["id"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = sorted(app.ended(task)["state"] for task in asked)
    assert set(states) <= {"succeeded", "superseded"} and "succeeded" in states
    assert app.task(max(asked))["state"] == "succeeded"
    assert app.version() == "crowd"


def test_a_job_that_is_delivered_twice_is_done_once(app: Driven, gates: Gates) -> None:
    running = held_in_build(app, gates, "once")
    wake_ups = "from deployments.tasks import work\nfor _ in range(5): work.delay({})\n"
    app.instance.manage("shell", "-c", wake_ups.format(app.id))
    gates.open("build")
    assert app.ended(running)["state"] == "succeeded"
    app.instance.manage("shell", "-c", wake_ups.format(app.id))
    assert gates.arrived("build") == 1
    assert app.task(running)["attempts"] == 1
    assert app.phases(running).count("start") == 1
    assert app.version() == "once"


def test_a_deploy_that_waits_is_cancelled_at_once(app: Driven, gates: Gates) -> None:
    running = held_in_build(app, gates, "patient")
    waiting = app.deploy(wait=False)
    app.instance.manage("shell", "-c", CANCEL.format(waiting["id"]))
    assert app.task(waiting["id"])["state"] == "cancelled"
    gates.open("build")
    assert app.ended(running)["state"] == "succeeded"
    assert app.states[:2] == ["cancelled", "live"]


def test_a_build_that_is_cancelled_ends_with_all_its_processes(app: Driven, gates: Gates) -> None:
    version = app.version()
    running = held_in_build(app, gates, "unwanted")
    app.cancel()
    task = app.ended(running)
    assert task["state"] == "cancelled"
    assert app.releases[0]["state"] == "cancelled"
    assert app.version() == version
    until(lambda: not processes_with("build.ts"))


def test_a_start_that_is_cancelled_ends_the_new_process(app: Driven, gates: Gates) -> None:
    version = app.version()
    app.repository.commit(apps.start_waits(gates.url("start"), "unwanted"))
    task = app.deploy(wait=False)
    gates.wait_for("start")
    app.cancel()
    assert app.ended(task["id"])["state"] == "cancelled"
    assert app.version() == version
    idle = next(slot for slot in app.slots if slot["release_id"] == app.releases[0]["id"])
    assert not processes_with(f"bakery-deployment-{app.id}-{idle['name']}")


def test_a_deploy_during_a_drain_comes_after_it(app: Driven) -> None:
    with app.open_socket():
        app.repository.commit(apps.healthy("draining"))
        first = app.deploy(wait=False)
        app.in_phase(first["id"], "drain")
        app.repository.commit(apps.healthy("after"))
        second = app.deploy(wait=False)
        assert app.ended(first["id"])["state"] == "succeeded"
    assert app.ended(second["id"])["state"] == "succeeded"
    assert "retire" in app.phases(first["id"])
    assert app.version() == "after"


def test_a_rollback_that_is_cancelled_leaves_no_release_running(make_app: MakeApp) -> None:
    app = make_app(apps.healthy("old"), watch_seconds=0, drain_seconds=60)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    old = int(app.get("/pid").text)
    with app.open_socket():
        app.repository.commit(apps.healthy("new"))
        first = app.deploy(wait=False)
        app.in_phase(first["id"], "drain")
        worker = programs.pid_of(app.instance, "worker-deploys")
        done = app.instance.manage("shell", "-c", ROLL_BACK_AND_CANCEL.format(worker, app.name, first["id"]))
        assert "cancelled in time: True" in done.stdout
    assert app.ended(first["id"])["state"] == "succeeded"
    assert app.version() == "new"
    until(lambda: not psutil.pid_exists(old) or psutil.Process(old).status() == psutil.STATUS_ZOMBIE)


def test_a_restart_behind_a_deploy_restarts_the_new_release(app: Driven, gates: Gates) -> None:
    running = held_in_build(app, gates, "restarted")
    restart = app.ask("restart", wait=False)
    gates.open("build")
    assert app.ended(running)["state"] == "succeeded"
    assert app.ended(restart["id"])["state"] == "succeeded"
    assert app.version() == "restarted"


def test_five_releases_are_kept_and_what_they_were_built_from_goes(app: Driven) -> None:
    for number in range(6):
        app.repository.commit(apps.healthy(f"kept-{number}"))
        assert app.deploy()["state"] == "succeeded"
    kept = [release for release in app.releases if release["state"] in ("live", "retained")]
    assert [release["state"] for release in kept] == ["live"] + ["retained"] * 4
    builds = app.instance.data_dir / "builds" / str(app.id)
    on_disk = {int(path.name) for path in builds.iterdir() if path.name.isdigit()}
    assert on_disk == {release["id"] for release in kept}
    oldest = kept[-1]
    assert app.ask("rollback", "--to", str(oldest["number"]))["state"] == "succeeded"
    assert app.version() == "kept-1"


def test_the_same_commit_is_not_built_twice(app: Driven, gates: Gates) -> None:
    gates.open("build")
    app.repository.commit(apps.build_waits(gates.url("build"), "same"))
    assert app.deploy()["state"] == "succeeded"
    assert app.deploy()["state"] == "succeeded"
    assert gates.arrived("build") == 1
    assert "using what was built then" in app.build_log()
    assert app.version() == "same"


def test_deleting_ends_a_running_deploy(app: Driven, gates: Gates) -> None:
    running = held_in_build(app, gates, "doomed")
    task = app.ask("delete_deployment", "--yes")
    assert task["state"] == "succeeded", task
    assert app.task(running)["state"] == "cancelled"
    assert rows(app.instance, "SELECT id FROM deployments_deployment WHERE name = %s", app.name) == []
    assert app.get().status_code == 404


# Cancelled when the deploy has ended and left the old release running, before a worker begins with the rollback: the
# deployment's row is held. The worker stands still until it is.
ROLL_BACK_AND_CANCEL = """
import os, signal, time
from django.db import transaction
from bakery.models import Task
from deployments.models import Deployment
from deployments.services.requests import cancel, rollback
worker = {}
deployment = Deployment.objects.get(name="{}")
os.kill(worker, signal.SIGSTOP)
try:
    task = rollback(deployment, by=None)
    transaction.set_autocommit(False)
    Deployment.objects.select_for_update(no_key=True).get(pk=task.deployment_id)
finally:
    os.kill(worker, signal.SIGCONT)
with transaction.atomic():
    while Task.objects.get(pk={}).state == "running":
        time.sleep(0.05)
    print("cancelled in time:", cancel(task, by=None))
transaction.commit()
"""

CANCEL = """
from bakery.models import Task
from deployments.services.requests import cancel
assert cancel(Task.objects.get(pk={}), by=None)
"""


def processes_with(text: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if text in " ".join(p.info["cmdline"] or [])]
