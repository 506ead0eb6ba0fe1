"""What each of Bakery's processes may do on an installed server: asked from inside of its own view of the host."""

from __future__ import annotations

import re

import pytest

from tests.host.apps_on_a_server import ServerApp
from tests.host.server import Server
from tests.integration.apps import healthy
from tests.integration.waiting import until

# systemd.exec(5): what "systemd-analyze security" gives at most, 0 is best, 10 is a service without any hardening.
MOST_EXPOSED = {"bakery": 2.0, "bakery-beat": 2.0, "bakery-logs": 2.0, "bakery-worker": 4.0, "bakery-databases": 2.0}
UNPRIVILEGED = ("bakery", "bakery-beat", "bakery-logs")
PLACES = (
    "/opt/bakery",
    "/opt/bakery/current/",
    "/var/lib/bakery",
    "/var/lib/bakery/builds",
    "/var/lib/bakery/nginx/sites",
    "/var/lib/bakery/logs",
    "/var/lib/bakery/systemd/launch",
    "/etc",
    "/etc/nginx/conf.d",
    "/etc/systemd/system",
    "/run",
    "/usr/local/bin",
    "/home",
)
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


class Unit:
    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        self.pid = server.says("systemctl", "show", "--property=MainPID", "--value", name)

    def status(self, key: str) -> list[str]:
        text = self.server.do("cat", f"/proc/{self.pid}/status")
        found = re.search(rf"^{key}:(.*)$", text, re.MULTILINE)
        assert found
        return found[1].split()

    def does(self, *argv: str) -> bool:
        """Whether this succeeds with the account, the groups and the view of the host that the process has."""
        uid, gid = self.status("Uid")[0], self.status("Gid")[0]
        account = (
            "setpriv",
            f"--reuid={uid}",
            f"--regid={gid}",
            f"--groups={','.join(self.status('Groups') or [gid])}",
        )
        alone = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
        inside = ("nsenter", f"--target={self.pid}", "--mount", "--")
        return self.server.run(*inside, *account, *alone, "--", *argv).ok


@pytest.fixture(params=UNPRIVILEGED)
def unit(installed: Server, request: pytest.FixtureRequest) -> Unit:
    return Unit(installed, request.param)


@pytest.fixture(scope="module")
def app(server: Server) -> ServerApp:
    if "BAKERY_ALLOW_FILE_REPOSITORIES" not in server.do("cat", "/opt/bakery/.env"):
        server.do("sed", "-i", "$ a BAKERY_ALLOW_FILE_REPOSITORIES=true", "/opt/bakery/.env")
        server.do("systemctl", "restart", "bakery.target")
        server.wait_until_healthy()
    one = ServerApp(server, "rights").create(healthy("1"))
    assert one.ask("deploy")["state"] == "succeeded"
    return one


def test_it_is_not_root_and_has_no_capability(unit: Unit) -> None:
    assert "0" not in unit.status("Uid")
    assert unit.status("CapBnd") == unit.status("CapEff") == ["0000000000000000"]
    assert unit.status("NoNewPrivs") == ["1"]
    assert unit.status("Seccomp") == ["2"]


def test_it_writes_nowhere_on_the_host(unit: Unit) -> None:
    assert unit.does("true")
    written = [place for place in PLACES if unit.does("touch", f"{place}/bakery-was-here")]
    assert written == []


def test_it_reads_its_environment_and_no_other_secret(unit: Unit) -> None:
    assert unit.does("cat", "/opt/bakery/.env")
    for path in ("/etc/shadow", "/etc/redis/redis-bakery.conf", "/root"):
        assert not unit.does("ls" if path == "/root" else "cat", path), path


def test_it_reads_no_key_of_a_certificate(installed: Server, unit: Unit) -> None:
    store, lineage = "/var/lib/bakery/nginx/certificates/panel", "/var/lib/bakery/letsencrypt/config/archive/panel"
    group = installed.says("stat", "-c", "%G", "/var/lib/bakery/nginx/run")
    kept = [path for path in (store, lineage) if installed.exists(path)]
    try:
        for folder, mode in ((store, "640"), (lineage, "600")):
            installed.put(f"{folder}/test.pem", "a key", mode)
            installed.do("chgrp", group, f"{folder}/test.pem")
            assert not unit.does("cat", f"{folder}/test.pem")
            assert not unit.does("ls", folder)
        nginx = ("setpriv", f"--reuid={group}", f"--regid={group}", "--clear-groups", "--")
        assert installed.run(*nginx, "cat", f"{store}/test.pem").ok
        assert not installed.run(*nginx, "cat", f"{lineage}/test.pem").ok
    finally:
        installed.do("rm", "-rf", *(path for path in (store, lineage) if path not in kept), f"{store}/test.pem")


@pytest.mark.parametrize("socket", ["/run/docker.sock", "/run/systemd/private"])
def test_web_and_beat_reach_neither_docker_nor_the_manager_of_units(installed: Server, socket: str) -> None:
    for name in ("bakery", "bakery-beat"):
        assert not Unit(installed, name).does("python3", "-c", CONNECT, socket)


def test_the_collector_sees_what_runs_and_writes_to_process_logs_alone(app: ServerApp, server: Server) -> None:
    until(lambda: "seen never" not in server.bakery("status", app.name).output, 60)
    collector = Unit(server, "bakery-logs")
    (log,) = server.do("sh", "-c", "ls /var/lib/bakery/logs/processes/release-*.log | tail -1").split()
    assert collector.does("sh", "-c", f": >> {log}")
    assert not Unit(server, "bakery").does("sh", "-c", f": >> {log}")


def test_no_unit_is_more_exposed_than_the_documentation_says(installed: Server) -> None:
    for name, most in MOST_EXPOSED.items():
        said = installed.do("systemd-analyze", "security", "--no-pager", f"{name}.service")
        figure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert figure
        assert float(figure[1]) <= most, said
