"""Databases on an installed server: applications of both kinds count their visits in one, which is backed up,
restored, and there again after a reboot."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.host.apps_on_a_server import ServerApp
from tests.host.server import Server
from tests.host.test_rights import UNPRIVILEGED, Unit
from tests.integration.apps import MIGRATES, counts_visits
from tests.integration.waiting import until

ADMIN_URL = "/opt/bakery/postgres-admin-url"
BACKUPS = "/var/lib/bakery/backups"
DOCKERFILE = """FROM oven/bun:1
WORKDIR /home/bun/app
EXPOSE 3000
ENV PORT=3000
COPY . .
CMD ["bun", "server.ts"]
"""


def counting(server: Server, name: str, more: dict[str, str]) -> ServerApp:
    """With a database of its own."""
    files = {**counts_visits(), **more}
    app = ServerApp(server, name).create(files, "--database", "--pre-deploy-command", MIGRATES)
    # The nightly ones of a new database would come in between, for who runs this at night.
    command(server, "schedule", name, "--cron", "", "--test-every-days", "0")
    app.deploy(files)
    return app


@pytest.fixture(scope="module")
def bare(ready: Server) -> ServerApp:
    return counting(ready, "visits", {})


@pytest.fixture(scope="module")
def boxed(ready: Server) -> ServerApp:
    return counting(ready, "visits-boxed", {"Dockerfile": DOCKERFILE})


def says(app: ServerApp, path: str = "/") -> dict[str, Any]:
    """What it answers; {} where it does not."""
    status, text = app.server.answers(path, host=app.host)
    return dict(json.loads(text)) if status == 200 else {}


def visits(app: ServerApp) -> int:
    return int(until(lambda: says(app))["visits"])


def test_an_application_counts_its_visits_in_a_database_of_its_own(bare: ServerApp) -> None:
    before = visits(bare)
    assert until(lambda: says(bare, "/visit"))["visits"] == before + 1


def test_so_does_one_in_a_container_by_the_gateway_of_its_network(boxed: ServerApp) -> None:
    before = visits(boxed)
    assert until(lambda: says(boxed, "/visit"))["visits"] == before + 1
    assert urlsplit(says(boxed, "/env")["DATABASE_URL"]).hostname == "10.207.0.1"
    doctor = boxed.server.bakery("doctor").output
    assert "10.207.0.1:5432" in doctor
    assert "nobody listens" not in doctor


def test_its_role_reaches_no_other_database(ready: Server, bare: ServerApp, boxed: ServerApp) -> None:
    own, other = (urlsplit(says(app, "/env")["DATABASE_URL"]) for app in (bare, boxed))
    assert ready.run("psql", own.geturl(), "-c", "SELECT 1").ok
    for database in ("/bakery", other.path):
        done = ready.run("psql", own._replace(path=database).geturl(), "-c", "SELECT 1")
        assert "permission denied for database" in done.output


@pytest.mark.parametrize("name", UNPRIVILEGED)
def test_the_workers_alone_know_how_databases_are_made(ready: Server, name: str) -> None:
    assert ready.says("stat", "-c", "%U:%G %a", ADMIN_URL) == "root:root 600"
    assert not Unit(ready, name).does("cat", ADMIN_URL)
    page = ready.signed_in().get(f"http://{ready.address}/databases", timeout=30)
    assert page.status_code == 200


def test_a_backup_is_written_by_the_worker_and_read_by_the_web_process(ready: Server, bare: ServerApp) -> None:
    backed_up(ready, "visits")
    (file, *_) = ready.says("find", BACKUPS, "-name", "*.dump").splitlines()
    assert ready.says("stat", "-c", "%U:%G %a", file) == "root:bakery 640"
    assert ready.says("stat", "-c", "%U:%G %a", BACKUPS) == "root:bakery 2750"
    web = Unit(ready, "bakery")
    assert web.does("cat", file)
    assert not web.does("touch", f"{BACKUPS}/bakery-was-here")
    assert not web.does("rm", "-f", file)
    for name in ("bakery-beat", "bakery-logs"):
        assert not Unit(ready, name).does("cat", file)


def test_a_backup_comes_back_in_its_place(ready: Server, bare: ServerApp) -> None:
    counted = visits(bare)
    backup = backed_up(ready, "visits")["id"]
    until(lambda: says(bare, "/visit"))
    until(lambda: says(bare, "/visit"))
    assert visits(bare) > counted
    command(ready, "restore", "visits", "--backup", str(backup))
    until(lambda: visits(bare) == counted)
    command(ready, "confirm-restore", "visits")


def test_after_a_reboot_both_go_on_counting(ready: Server, bare: ServerApp, boxed: ServerApp) -> None:
    counted = [visits(app) for app in (bare, boxed)]
    ready.reboot()
    ready.wait_until_healthy()
    assert [visits(app) for app in (bare, boxed)] == counted


def command(server: Server, verb: str, *arguments: str) -> None:
    server.bakery("database", verb, *arguments)


def backed_up(server: Server, name: str) -> dict[str, Any]:
    command(server, "backup", name)
    found = json.loads(server.says("/usr/local/bin/bakery", "database", "backups", name, "--json"))
    return dict(found[0])
