"""A server as its administrator and its visitors know it: installed by install.sh, rebooted, and hurt.

The tests share one server and two applications, and leave both serving.
"""

from __future__ import annotations

import pytest

from tests.host.apps_on_a_server import ServerApp
from tests.host.conftest import allow_file_repositories
from tests.host.server import Server
from tests.integration.apps import Files, healthy, package
from tests.integration.waiting import until

DOCKERFILE = """FROM oven/bun:1
WORKDIR /home/bun/app
EXPOSE 3000
COPY . .
CMD ["bun", "server.ts"]
"""
BAKERY = ("bakery.service", "bakery-worker.service", "bakery-beat.service", "bakery-logs.service")


def containerised(version: str) -> Files:
    return {**healthy(version), "Dockerfile": DOCKERFILE}


def slow_to_build(version: str) -> Files:
    return {**healthy(version), **package(build="bun build.ts"), "build.ts": "await Bun.sleep(20_000);"}


@pytest.fixture(scope="module")
def bare(ready: Server) -> ServerApp:
    """A Bun application: a unit of systemd."""
    app = ServerApp(ready, "bare").create(healthy("1"))
    app.deploy(healthy("1"))
    return app


@pytest.fixture(scope="module")
def boxed(ready: Server) -> ServerApp:
    """An application with a Dockerfile: a container."""
    app = ServerApp(ready, "boxed").create(containerised("1"))
    app.deploy(containerised("1"))
    return app


def test_the_printed_credentials_open_the_dashboard(ready: Server) -> None:
    page = ready.signed_in().get(f"http://{ready.address}/", timeout=30)
    assert page.status_code == 200
    assert "Deployments" in page.text


def test_a_bun_application_is_replaced_under_load_and_rolled_back(bare: ServerApp) -> None:
    with bare.visitors() as visitors:
        bare.deploy(healthy("2"))
        until(lambda: visitors.seen("2") > 20)
        assert bare.ask("rollback")["state"] == "succeeded"
        bare.serves("1")
    assert visitors.lost == []


def test_a_dockerfile_application_is_replaced_under_load_and_rolled_back(boxed: ServerApp) -> None:
    with boxed.visitors() as visitors:
        boxed.deploy(containerised("2"))
        until(lambda: visitors.seen("2") > 20)
        assert boxed.ask("rollback")["state"] == "succeeded"
        boxed.serves("1")
    assert visitors.lost == []


def test_the_sites_serve_while_bakery_is_stopped(ready: Server, bare: ServerApp, boxed: ServerApp) -> None:
    with bare.visitors() as of_bare, boxed.visitors() as of_boxed:
        ready.do("systemctl", "stop", "bakery.target")
        until(lambda: not any(ready.is_active(unit) for unit in BAKERY), 60)
        status, page = ready.answers("/", host=ready.address)
        assert status in (502, 503)
        assert "Bakery" in page
        until(lambda: of_bare.seen("1") > 50 and of_boxed.seen("1") > 50, 60)
        ready.do("systemctl", "start", "bakery.target")
        ready.wait_until_healthy()
    assert of_bare.lost == []
    assert of_boxed.lost == []


def test_a_worker_that_is_killed_in_a_build_loses_nothing(ready: Server, bare: ServerApp) -> None:
    bare.commit(slow_to_build("3"))
    with bare.visitors() as visitors:
        task = bare.ask("deploy", wait=False)
        until(lambda: "bun build.ts" in ready.says("ps", "-eo", "args"), 60)
        ready.do("systemctl", "kill", "--signal=SIGKILL", "bakery-worker.service")
        assert bare.ended(task["id"])["state"] == "succeeded", bare.build_log()
        bare.serves("3")
        assert bare.ask("rollback")["state"] == "succeeded"
        bare.serves("1")
    assert visitors.lost == []


def test_everything_comes_back_after_a_reboot(ready: Server, bare: ServerApp, boxed: ServerApp) -> None:
    ready.reboot()
    bare.serves("1", 120)
    boxed.serves("1", 120)
    ready.wait_until_healthy()
    assert all(ready.is_active(unit) for unit in BAKERY)
    bare.deploy(healthy("4"))
    assert bare.version() == "4"


def test_the_sites_come_back_after_a_reboot_with_a_broken_bakery(
    ready: Server, bare: ServerApp, boxed: ServerApp
) -> None:
    before = bare.version()
    ready.do("mv", "/opt/bakery/current", "/opt/bakery/current.away")
    try:
        ready.reboot()
        bare.serves(before, 120)
        boxed.serves("1", 120)
    finally:
        ready.do("mv", "-T", "/opt/bakery/current.away", "/opt/bakery/current")
        ready.do("systemctl", "restart", "bakery.target")
    ready.wait_until_healthy()


def test_a_backup_of_bakery_brings_everything_back_on_a_fresh_server(
    ready: Server, bare: ServerApp, boxed: ServerApp
) -> None:
    served, admin = bare.version(), ready.admin
    ready.put("/root/passphrase", "a passphrase for the test\n", "600")
    file = ("/root/panel.backup", "--passphrase-file", "/root/passphrase")
    ready.bakery("backup_panel", *file)
    ready.uninstall("--delete-data")
    assert not ready.exists("/var/lib/bakery")
    ready.install()
    allow_file_repositories(ready)
    ready.bakery("restore_panel", *file, timeout=600)
    bare.serves(served)
    boxed.serves("1")
    ready.wait_until_healthy()
    ready.admin = admin  # people are as they were
    assert ready.signed_in().get(f"http://{ready.address}/deployments/1", timeout=30).status_code == 200
