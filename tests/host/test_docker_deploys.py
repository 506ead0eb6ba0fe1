"""Repositories with a Dockerfile, from the command to the visitor: the whole of Bakery on a real engine."""

from __future__ import annotations

import pytest

from tests.host.conftest import MakeApp
from tests.host.test_docker import docker
from tests.integration.apps import MIGRATES, Files, counts_visits, healthy, never_listens
from tests.integration.driving import Driven
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

DOCKERFILE = """FROM oven/bun:1
WORKDIR /home/bun/app
EXPOSE 3000
COPY . .
CMD ["bun", "server.ts"]
"""

pytestmark = pytest.mark.usefixtures("base_image")


def containerised(version: str, **more: str) -> Files:
    return {**healthy(version), "Dockerfile": DOCKERFILE, **more}


def made_for(app: Driven, what: str) -> list[str]:
    """Ids of the containers (``ps -a``) or images (``images``) that carry the deployment's label."""
    return docker(*what.split(), "-q", "--filter", f"label=bakery.deployment={app.id}").split()


def deploy(app: Driven, version: str) -> None:
    app.repository.commit(containerised(version))
    task = app.deploy()
    assert task["state"] == "succeeded", app.build_log()


def test_a_dockerfile_is_deployed_replaced_under_load_rolled_back_and_deleted_without_a_trace(
    make_app: MakeApp,
) -> None:
    app = make_app(containerised("first"), drain_seconds=15)
    deploy(app, "one")
    assert app.releases[0]["runtime"] == "docker"
    assert app.version() == "one"
    with Visitors(app.instance.http_port, f"{app.name}.localhost") as visitors:
        deploy(app, "two")
        until(lambda: visitors.seen("two") > 20)
        assert app.ask("rollback")["state"] == "succeeded"
    assert visitors.lost == []
    assert app.version() == "one"
    until(lambda: "version one listens" in app.instance.manage("logs", app.name).stdout)
    number = app.id
    app.instance.manage("delete_deployment", app.name, "--yes")
    assert docker("ps", "-aq", "--filter", f"label=bakery.deployment={number}") == ""
    assert docker("images", "-q", "--filter", f"label=bakery.deployment={number}") == ""


def test_an_application_in_a_container_counts_visits_in_the_database_that_was_made_with_it(make_app: MakeApp) -> None:
    app = make_app(counts_visits() | {"Dockerfile": DOCKERFILE}, "--database", "--pre-deploy-command", MIGRATES)
    task = app.deploy()
    assert task["state"] == "succeeded", app.build_log()
    assert app.releases[0]["runtime"] == "docker"
    assert app.get("/visit").json()["visits"] == 1
    assert app.ask("restart")["state"] == "succeeded", app.build_log()
    assert app.get("/visit").json()["visits"] == 2
    assert ":[secret]@" in app.build_log()  # what the command before the switch has shown


def test_a_dockerfile_that_fails_leaves_the_old_release_serving(make_app: MakeApp) -> None:
    app = make_app(containerised("good"))
    deploy(app, "good")
    app.repository.commit(containerised("bad", Dockerfile="FROM oven/bun:1\nRUN exit 7\n"))
    task = app.deploy()
    assert (task["state"], task["error_id"]) == ("failed", "build.failed")
    assert app.version() == "good"


def test_a_container_that_listens_on_another_port_is_told_so(make_app: MakeApp) -> None:
    app = make_app(containerised("x"), probe_timeout=3)
    app.repository.commit(
        containerised("x", Dockerfile=DOCKERFILE.replace('"server.ts"', '"-e", "setInterval(() => 1, 1000)"'))
    )
    task = app.deploy()
    assert (task["state"], task["error_id"]) == ("failed", "app.never-listened")
    assert "3000" in task["error_message"]


def test_a_container_comes_back_and_serves_after_its_engine_ended_it(make_app: MakeApp) -> None:
    app = make_app(containerised("sturdy"))
    deploy(app, "sturdy")
    (container,) = made_for(app, "ps")
    docker("restart", "--time", "1", container)
    until(lambda: app.get("/").status_code == 200)
    assert app.version() == "sturdy"


def test_an_image_leaves_with_its_release(make_app: MakeApp) -> None:
    app = make_app(containerised("0"), watch_seconds=0, drain_seconds=1)
    for version in range(1, 7):
        deploy(app, str(version))
    until(lambda: len(made_for(app, "images")) <= 5)
    assert app.states.count("retained") == 4


def test_an_application_that_gets_a_dockerfile_or_loses_it_serves_all_the_time(make_app: MakeApp) -> None:
    app = make_app(healthy("bare"), watch_seconds=0)
    assert app.deploy()["state"] == "succeeded", app.build_log()
    with Visitors(app.instance.http_port, f"{app.name}.localhost") as visitors:
        deploy(app, "boxed")
        until(lambda: visitors.seen("boxed") > 20)
        app.repository.commit(healthy("bare again"))
        assert app.deploy()["state"] == "succeeded", app.build_log()
        until(lambda: visitors.seen("bare again") > 20)
    assert visitors.lost == []
    assert [release["runtime"] for release in app.releases] == ["bun", "docker", "bun"]


def test_with_one_writer_a_cancelled_start_brings_the_old_container_back(make_app: MakeApp) -> None:
    app = make_app(containerised("good"), "--one-writer", watch_seconds=0)
    deploy(app, "good")
    app.repository.commit({**never_listens(), "Dockerfile": DOCKERFILE})
    task = app.deploy(wait=False)
    app.in_phase(task["id"], "probe", 60)
    app.cancel()
    assert app.ended(task["id"])["state"] == "cancelled"
    assert app.version() == "good"
