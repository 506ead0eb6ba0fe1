"""Docker itself is restarted, with all of Bakery away: its sites come back where they were."""

from __future__ import annotations

import pytest
import requests

from tests.host.conftest import MakeApp
from tests.host.docker_engine import DockerEngine
from tests.host.test_docker import docker
from tests.host.test_docker_deploys import containerised, deploy, made_for
from tests.integration.driving import Driven
from tests.integration.programs import stopped
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

pytestmark = pytest.mark.usefixtures("base_image")


def address(app: Driven) -> str:
    (container,) = made_for(app, "ps")
    return docker("inspect", "--format", "{{.NetworkSettings.Networks.bakery.IPAddress}}", container)


def is_well(app: Driven) -> bool:
    try:
        return app.instance.health().status_code == 200
    except requests.ConnectionError:  # it does not listen yet
        return False


@pytest.mark.parametrize("kill", [False, True], ids=["restarted", "killed"])
def test_a_restart_of_docker_leads_no_site_astray(make_app: MakeApp, docker_engine: DockerEngine, kill: bool) -> None:
    if docker_engine.process is None:
        pytest.skip("the engine of this host is not the tests' to restart")
    app = make_app(containerised("first"))
    deploy(app, "one")
    deploy(app, "two")
    (slot,) = [slot for slot in app.slots if slot["id"] == app.releases[0]["slot_id"]]
    assert address(app) == str(slot["address"])
    with stopped(app.instance, "background"), stopped(app.instance, "web"):
        with Visitors(app.instance.http_port, f"{app.name}.localhost") as visitors:
            until(lambda: visitors.seen("two") > 5)
            docker_engine.restart(kill=kill)
            before = visitors.seen("two")
            until(lambda: visitors.seen("two") > before + 50, 60)
        assert set(visitors.answers) == {"two"}  # never the release that had been stopped
        assert address(app) == str(slot["address"])
        assert len(made_for(app, "ps")) == 1
    until(lambda: is_well(app), 60)
    assert app.version() == "two"
    app.get("/die")  # what is written after the restart is collected as well
    until(lambda: app.instance.manage("logs", app.name).stdout.count("version two listens") >= 3, 60)
    deploy(app, "three")
    assert app.version() == "three"


def test_what_was_stopped_stays_so_when_docker_is_restarted(make_app: MakeApp, docker_engine: DockerEngine) -> None:
    if docker_engine.process is None:
        pytest.skip("the engine of this host is not the tests' to restart")
    app = make_app(containerised("idle"))
    deploy(app, "idle")
    app.ask("stop")
    docker_engine.restart()
    assert made_for(app, "ps") == []
    assert app.get().status_code == 503
