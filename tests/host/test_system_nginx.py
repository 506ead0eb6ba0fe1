"""A machine's own Nginx, with somebody's site in it, serves Bakery's as well: Debian's package under systemd."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infrastructure.systemd.bakery_units import Place, units
from tests.certificates import Authority
from tests.host.docker_engine import DockerEngine
from tests.host.machine import Machine, docker
from tests.integration.waiting import until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debootstrap") is None, reason="it takes root and debootstrap"
)

CHECKOUT = Path(__file__).resolve().parents[2]
SHOP, LEGACY, PANEL = "shop.example.com", "legacy.example.com", "panel.example.com"
# Written as people write them: no default_server, a directive of the http level in front.
LEGACY_SITE = f"""
limit_req_zone $binary_remote_addr zone=legacy:1m rate=1000r/s;
server {{
    listen 80;
    server_name {LEGACY};
    location / {{ return 200 "legacy"; }}
}}
"""
APP_UNIT = """
[Service]
WorkingDirectory=/opt/bakery
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 -m benchmarks.switching.app {port} {name}
[Install]
WantedBy=multi-user.target
"""
BROKEN = "/etc/nginx/conf.d/zz-broken.conf"
DATA = Path("/var/lib/bakery")
PLACE = Place(Path("/opt/bakery"), DATA, DATA / "logs", DATA / "builds")
NOT_RIGHTS = re.compile(r"(Type|WorkingDirectory|Environment|Restart|Exec|KillMode|TimeoutStop)")
RIGHTS = [
    line
    for line in units(PLACE)["bakery-worker.service"].partition("[Service]\n")[2].splitlines()
    if "=" in line and not line.startswith("#") and not NOT_RIGHTS.match(line)
]
AS_WORKER = ("systemd-run", "--quiet", "--pipe", "--wait", *(f"--property={right}" for right in RIGHTS), "--")


class NginxMachine(Machine):
    def options(self) -> list[str]:
        return ["-v", f"{CHECKOUT}:/opt/bakery:ro"]

    @property
    def address(self) -> str:
        return docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", self.name).strip()

    def try_to(self, what: str, inside: tuple[str, ...] = (), **named: Any) -> dict[str, Any]:
        argv = ("env", "-C", "/opt/bakery", "PYTHONDONTWRITEBYTECODE=1", "python3", "-m", "tests.host.inside_nginx")
        answer: dict[str, Any] = json.loads(self.says(*inside, *argv, json.dumps({"do": what, **named})))
        return answer

    def have(self, what: str, inside: tuple[str, ...] = (), **named: Any) -> Any:
        said = self.try_to(what, inside, **named)
        assert "problem" not in said, said
        return said["answer"]

    def answer(self, host: str, path: str = "/") -> tuple[int, str]:
        """Status and text; (0, "") when nobody answers."""
        try:
            connection = http.client.HTTPConnection(self.address, 80, timeout=20)
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def certificate(self, name: str) -> str:
        """The fingerprint of what a visitor is shown who asks for this name; "": the handshake is refused."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection((self.address, 443), timeout=60) as plain,
                context.wrap_socket(plain, server_hostname=name) as connection,
            ):
                return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
        except ssl.SSLError:
            return ""

    def wait_for(self, host: str, text: str) -> None:
        until(lambda: self.answer(host)[1] == text, 180)

    def everything(self) -> str:
        """All of /etc/nginx, to compare."""
        return self.do("sh", "-c", "cd /etc/nginx && find . -type f -o -type l | sort | xargs md5sum")


@pytest.fixture(scope="module")
def machine(docker_engine: DockerEngine) -> Iterator[NginxMachine]:
    one = NginxMachine(f"bakery-test-nginx-{os.getpid()}")
    try:
        one.start()
        one.do("apt-get", "-qq", "update", timeout=300)
        one.do("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "-y", "nginx", timeout=600)
        for name, port in (("blue", 9001), ("green", 9002)):
            one.put(f"/etc/systemd/system/{name}.service", APP_UNIT.format(name=name, port=port))
        one.do("systemctl", "enable", "--now", "blue.service", "green.service")
        one.put("/etc/nginx/sites-available/legacy", LEGACY_SITE)
        one.do("ln", "-s", "../sites-available/legacy", "/etc/nginx/sites-enabled/legacy")
        one.do("systemctl", "reload", "nginx")
        one.wait_for(LEGACY, "legacy")
        yield one
    finally:
        one.remove()


@pytest.fixture
def prepared(machine: NginxMachine) -> NginxMachine:
    """With Bakery in its Nginx, and the blue release serving."""
    machine.have("prepare", names=[PANEL])
    machine.have("apply", hostnames=[SHOP])
    machine.have("switch", slot="blue", release=10)
    machine.wait_for(SHOP, "blue")
    return machine


@contextmanager
def visitors(machine: NginxMachine, host: str, wanted: set[str]) -> Iterator[list[str]]:
    """Four of them ask, one request after the other, each on a connection of its own; what went wrong is listed."""
    wrong: list[str] = []
    stop = threading.Event()
    asked = [0]

    def ask() -> None:
        while not stop.is_set():
            status, text = machine.answer(host)
            asked[0] += 1
            if status != 200 or text not in wanted:
                wrong.append(f"{status} {text[:80]}")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        until(lambda: asked[0] > 100)
        stop.set()
        for thread in threads:
            thread.join()


def test_what_was_there_goes_on_while_bakery_moves_in(machine: NginxMachine) -> None:
    with visitors(machine, LEGACY, {"legacy"}) as wrong:
        assert machine.have("prepare", names=[PANEL]) == []
        machine.have("apply", hostnames=[SHOP])
        machine.have("switch", slot="blue", release=10)
    assert wrong == []
    assert machine.answer(SHOP) == (200, "blue")
    assert machine.have("confirm", hostnames=[SHOP], release=10)
    assert "Welcome to nginx" in machine.answer("unknown.example.com")[1], "the machine's own default stays"
    assert "worker_connections 8192;" in machine.read("/etc/nginx/nginx.conf")
    assert machine.do("stat", "-c", "%U %a", "/var/lib/bakery/logs/access.json").split() == ["www-data", "640"]
    limits = machine.do("sh", "-c", "grep 'open files' /proc/$(cat /run/nginx.pid)/limits").split()
    assert int(limits[3]) > 1024, "without a restart"


def test_a_second_time_changes_nothing(prepared: NginxMachine) -> None:
    before = prepared.everything(), prepared.have("workers"), prepared.have("generation")
    prepared.have("prepare", names=[PANEL])
    assert (prepared.everything(), prepared.have("workers"), prepared.have("generation")) == before


def test_https_is_served_beside_another_site_that_has_the_port(prepared: NginxMachine) -> None:
    authority, theirs = Authority(), "/etc/nginx/conf.d/legacy-tls.conf"
    legacy, shop = authority.issue(LEGACY), authority.issue(SHOP)
    prepared.put("/etc/nginx/legacy.pem", (legacy.chain_pem + legacy.key_pem).decode())
    pair = "ssl_certificate /etc/nginx/legacy.pem; ssl_certificate_key /etc/nginx/legacy.pem;"
    prepared.put(theirs, f"server {{ listen 443 ssl default_server; {pair} server_name {LEGACY}; return 200 legacy; }}")
    folder = "/var/lib/bakery/nginx/certificates/deployment-1"
    try:
        prepared.do("systemctl", "reload", "nginx")
        prepared.have("prepare", names=[PANEL])
        prepared.do("mkdir", "-p", f"{folder}/first")
        prepared.put(f"{folder}/first/chain.pem", shop.chain_pem.decode())
        prepared.put(f"{folder}/first/key.pem", shop.key_pem.decode())
        prepared.do("ln", "-sfn", "first", f"{folder}/current")
        prepared.do("chgrp", "-R", "www-data", "/var/lib/bakery/nginx/certificates")
        prepared.do("chmod", "-R", "g+rX,o=", "/var/lib/bakery/nginx/certificates")
        prepared.have("apply", inside=AS_WORKER, hostnames=[SHOP], https=True)
        shown = {name: prepared.certificate(name) for name in (SHOP, LEGACY, "unknown.example.com")}
        assert shown == {SHOP: shop.fingerprint, LEGACY: legacy.fingerprint, "unknown.example.com": legacy.fingerprint}
        assert prepared.certificate(PANEL) == "", "it has none, and is shown nobody else's"
        assert prepared.have("confirm", hostnames=[SHOP], release=10, https=True)
        assert prepared.answer(SHOP)[0] == 301
        assert prepared.answer(LEGACY) == (200, "legacy")
    finally:
        prepared.do("rm", "-f", theirs, "/etc/nginx/legacy.pem")
        prepared.have("apply", hostnames=[SHOP])
    assert prepared.certificate("unknown.example.com") == "", "nobody else is left to answer"


def test_after_an_update_of_bakery_its_part_is_brought_up_to_date_with_the_next_change(prepared: NginxMachine) -> None:
    path = "/etc/nginx/conf.d/bakery.conf"
    text = prepared.read(path)
    prepared.put(path, f"# of an older version\n{text}")
    prepared.have("apply", hostnames=[SHOP])
    assert prepared.read(path) == text


def test_a_switch_loses_no_request_and_reloads_nothing(prepared: NginxMachine) -> None:
    workers = prepared.have("workers")
    with visitors(prepared, SHOP, {"blue", "green"}) as wrong:
        for number in range(20):
            prepared.have("switch", slot=("green", "blue")[number % 2], release=11 + number)
    assert wrong == []
    assert prepared.have("workers") == workers
    assert prepared.have("confirm", hostnames=[SHOP], release=30)


def test_a_broken_file_of_somebody_elses_is_named_and_costs_nothing(prepared: NginxMachine) -> None:
    prepared.put(BROKEN, "no_such_directive on;\n")
    before = prepared.do("cat", "/var/lib/bakery/nginx/sites/1.conf")
    try:
        for what in (
            {"do": "apply", "hostnames": [SHOP, "www.example.com"]},
            {"do": "prepare", "names": ["new.example"]},
        ):
            said = prepared.try_to(str(what.pop("do")), **what)
            assert said["problem"] in ("nginx.refused", "nginx.broken")
            assert BROKEN in said["text"]
        assert prepared.do("cat", "/var/lib/bakery/nginx/sites/1.conf") == before
        assert (prepared.answer(SHOP), prepared.answer(LEGACY)) == ((200, "blue"), (200, "legacy"))
        prepared.have("switch", slot="green", release=11)
        assert prepared.answer(SHOP) == (200, "green"), "a deploy needs no reload"
    finally:
        prepared.do("rm", BROKEN)
    prepared.have("apply", hostnames=[SHOP, "www.example.com"])
    assert prepared.answer("www.example.com")[0] == 200
    assert not prepared.exists("/etc/nginx/bakery-candidate.conf")


def test_a_worker_with_the_rights_of_its_unit_applies_while_others_log_where_it_may_not_write(
    prepared: NginxMachine,
) -> None:
    """``nginx -t`` opens every log."""
    prepared.do("mkdir", "-p", "/srv/legacy", "/var/lib/bakery/builds")
    elsewhere = "/etc/nginx/conf.d/elsewhere.conf"
    prepared.put(elsewhere, "server { listen 80; server_name e; access_log /srv/legacy/log; }\n")
    try:
        prepared.have("apply", inside=AS_WORKER, hostnames=[SHOP, "worker.example.com"])
        prepared.have("switch", inside=AS_WORKER, slot="green", release=11)
        assert prepared.have("confirm", inside=AS_WORKER, hostnames=["worker.example.com"], release=11)
    finally:
        prepared.do("rm", elsewhere)
    assert prepared.answer("worker.example.com") == (200, "green")


def test_a_name_that_another_site_has_stays_that_sites(prepared: NginxMachine) -> None:
    assert prepared.try_to("prepare", names=[LEGACY])["problem"] == "nginx.name-taken"
    notes = prepared.have("prepare", names=[LEGACY, PANEL])
    assert len(notes) == 1
    assert LEGACY in notes[0]
    for name in (LEGACY, PANEL):
        said = prepared.try_to("apply", hostnames=[SHOP, name])
        assert said["problem"] == "nginx.name-taken", "a deployment takes no name of somebody else's"
        assert name in said["text"]
    assert prepared.answer(LEGACY) == (200, "legacy")


def test_a_main_file_that_reads_no_conf_d_is_said_to_be_so(prepared: NginxMachine) -> None:
    path = "/etc/nginx/nginx.conf"
    text = prepared.read(path)
    prepared.put(path, text.replace("include /etc/nginx/conf.d", "# include /etc/nginx/conf.d"))
    try:
        said = prepared.try_to("prepare", names=[PANEL])
        assert said["problem"] == "nginx.no-include"
        assert prepared.try_to("apply", hostnames=[SHOP, "x.example.com"])["problem"] == "nginx.no-include"
    finally:
        prepared.put(path, text)


def test_while_bakerys_pages_are_away_visitors_are_told_so(prepared: NginxMachine) -> None:
    status, text = prepared.answer(PANEL)
    assert status == 503
    assert "The sites are not affected" in text


def test_a_killed_nginx_is_back_with_all_sites(prepared: NginxMachine) -> None:
    pid = prepared.read("/run/nginx.pid").strip()
    prepared.do("kill", "-KILL", pid)
    until(lambda: prepared.says("cat", "/run/nginx.pid") not in ("", pid))
    prepared.wait_for(SHOP, "blue")
    assert prepared.answer(LEGACY) == (200, "legacy")
    prepared.have("apply", hostnames=[SHOP, "after.example.com"])
    assert prepared.answer("after.example.com") == (200, "blue")


def test_an_upgrade_of_the_package_keeps_all_sites(prepared: NginxMachine) -> None:
    """Debian restarts it, and then hands its sockets to one more program (USR2)."""
    master, before = prepared.read("/run/nginx.pid"), prepared.everything()
    again = ("apt-get", "-qq", "install", "-y", "--reinstall", "nginx", "nginx-common")
    prepared.do("env", "DEBIAN_FRONTEND=noninteractive", *again, timeout=300)
    until(lambda: prepared.says("cat", "/run/nginx.pid") not in ("", master.strip()))
    prepared.wait_for(SHOP, "blue")
    assert prepared.everything() == before
    prepared.have("apply", hostnames=[SHOP, "upgraded.example.com"])
    assert prepared.answer("upgraded.example.com") == (200, "blue")
    assert prepared.answer(LEGACY) == (200, "legacy")


def test_nginx_starts_when_what_helps_it_is_gone(prepared: NginxMachine) -> None:
    prepared.do("mv", "/var/lib/bakery/nginx/start.py", "/root/start.py")
    prepared.do("systemctl", "restart", "nginx")
    assert prepared.answer(SHOP) == (200, "blue")
    prepared.have("prepare", names=[PANEL])
    assert prepared.exists("/var/lib/bakery/nginx/start.py")


def test_a_reboot_brings_the_routes_back_without_bakery(prepared: NginxMachine) -> None:
    prepared.have("switch", slot="green", release=12)
    prepared.reboot()
    prepared.wait_for(SHOP, "green")
    assert prepared.answer(LEGACY) == (200, "legacy")


def test_where_something_else_has_the_port_all_is_put_back(prepared: NginxMachine) -> None:
    prepared.have("remove")
    prepared.do("systemctl", "stop", "nginx")
    before = prepared.everything()
    prepared.do("systemd-run", "--unit=other", "python3", "-m", "http.server", "80")
    until(lambda: prepared.answer("x")[0] == 200)
    try:
        said = prepared.try_to("prepare", names=[PANEL])
        assert said["problem"] == "nginx.not-started", said
        assert "bind()" in said["text"]
        assert prepared.everything() == before
        assert not prepared.is_active("nginx")
    finally:
        prepared.do("systemctl", "stop", "other")
    prepared.have("prepare", names=[PANEL])
    prepared.wait_for(SHOP, "blue")


def test_whoever_installed_nginx_may_take_its_default_site_out(prepared: NginxMachine) -> None:
    assert prepared.have("remove_default_site")
    until(lambda: "Unknown site" in prepared.answer("unknown.example.com")[1])
    assert not prepared.have("remove_default_site")


def test_what_is_left_after_a_removal_is_what_was_there_before(prepared: NginxMachine) -> None:
    with visitors(prepared, LEGACY, {"legacy"}) as wrong:
        prepared.have("remove")
    assert wrong == []
    assert "bakery" not in prepared.do("nginx", "-T")
    assert "bakery" not in prepared.do("find", "/etc/nginx", "/etc/systemd", "-name", "*bakery*")
    assert prepared.do("dpkg", "--verify", "nginx", "nginx-common") == ""
    assert "Welcome to nginx" in prepared.answer("unknown.example.com")[1]
    assert prepared.answer(LEGACY) == (200, "legacy")
