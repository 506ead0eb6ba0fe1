"""Redis and PostgreSQL go away in the middle and come back: nothing is lost, sites serve all the time."""

from __future__ import annotations

import json

import pytest

from tests.instance import Instance
from tests.integration import apps, programs
from tests.integration.apps import AppRepository
from tests.integration.driving import Driven
from tests.integration.gates import Gates
from tests.integration.visitors import Visitors

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(instance: Instance, tmp_path_factory: pytest.TempPathFactory) -> Driven:
    repository = AppRepository(tmp_path_factory.mktemp("lasting") / "app", apps.healthy("first"))
    driven = Driven(instance, "lasting", repository).create(watch_seconds=0)
    assert driven.deploy()["state"] == "succeeded", driven.build_log()
    return driven


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_a_deploy_outlives_a_server_that_is_away_for_a_while(app: Driven, gates: Gates, server: str) -> None:
    app.repository.commit(apps.build_waits(gates.url("build"), f"through-{server}"))
    with Visitors(app.instance.http_port, f"{app.name}.localhost", of_each=1) as visitors:
        task = app.deploy(wait=False)["id"]
        gates.wait_for("build")
        with programs.stopped(app.instance, server):
            gates.open("build")
            assert app.version() != f"through-{server}" or server == "redis"
        ended = app.ended(task, 120)
        assert ended["state"] == "succeeded", f"{ended}\n{app.build_log()}"
        app.serves(f"through-{server}")
        app.repository.commit(apps.healthy(f"after-{server}"))
        assert app.deploy()["state"] == "succeeded", app.build_log()
    assert visitors.lost == []
    assert app.version() == f"after-{server}"


def test_a_command_given_while_redis_is_away_is_done_when_it_is_back(app: Driven) -> None:
    app.repository.commit(apps.healthy("meanwhile"))
    with programs.stopped(app.instance, "redis"):
        done = app.instance.manage("deploy", app.name, "--no-wait", "--json")
        assert "Redis does not answer" in done.stderr
    task = json.loads(done.stdout)
    assert app.ended(task["id"], 120)["state"] == "succeeded"
    assert app.version() == "meanwhile"


def test_a_command_given_while_postgresql_is_away_says_so(app: Driven) -> None:
    with programs.stopped(app.instance, "postgres"):
        done = app.instance.manage("deploy", app.name, check=False)
    assert done.returncode == 1
    assert "PostgreSQL does not answer" in done.stderr
    assert app.instance.health().status_code in (200, 503)
    app.repository.commit(apps.healthy("later"))
    assert app.deploy()["state"] == "succeeded", app.build_log()


def test_a_server_that_is_away_for_longer_than_the_lease_costs_one_attempt_at_most(app: Driven, gates: Gates) -> None:
    app.repository.commit(apps.build_waits(gates.url("build"), "patient"))
    task = app.deploy(wait=False)["id"]
    gates.wait_for("build")
    with programs.stopped(app.instance, "postgres"):
        # The lease has run out when the build is ended from outside: its connection to the gate breaks.
        gates.wait_until_left("build", 60)
    gates.open("build")
    ended = app.ended(task, 120)
    assert ended["state"] == "succeeded", f"{ended}\n{app.build_log()}"
    assert ended["attempts"] == 2
    assert app.version() == "patient"


def test_all_of_bakery_is_stopped_in_the_middle_of_a_build_and_started_again(app: Driven, gates: Gates) -> None:
    version = app.version()
    app.repository.commit(apps.build_waits(gates.url("build"), "next day"))
    task = app.deploy(wait=False)["id"]
    gates.wait_for("build")
    app.instance.stop()
    app.instance.start()
    app.serves(version)
    gates.open("build")
    assert app.ended(task, 120)["state"] == "succeeded", app.build_log()
    assert app.version() == "next day"


def test_what_was_stopped_stays_stopped_when_bakery_starts_again(app: Driven) -> None:
    assert app.ask("stop")["state"] == "succeeded"
    app.instance.stop()
    app.instance.start()
    assert app.get().status_code == 503
    assert app.ask("start")["state"] == "succeeded"
    assert app.get().status_code == 200
