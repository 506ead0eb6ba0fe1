"""Names and certificates of an installed server: its own Nginx, a real Certbot, and systemd's timer.

Beside the server stand a DNS server and Pebble.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from infrastructure.certificates.handshake import shown
from tests.host.apps_on_a_server import ServerApp
from tests.host.server import Server
from tests.integration.acme import Pebble, needs
from tests.integration.apps import healthy
from tests.integration.dns_server import DnsServer
from tests.integration.visitors import Secure, Visitors
from tests.integration.waiting import until

SHOP, PANEL = "shop.example.com", "panel.example.org"
ELSEWHERE = "203.0.113.9"
BUNDLE = "/etc/acme-of-the-tests.pem"
DATA = "/var/lib/bakery"
RENEWAL = "bakery-certificates"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
PATIENCE = 240.0


@dataclass
class World:
    server: Server
    zone: DnsServer
    resolver: DnsServer
    pebble: Pebble
    app: ServerApp

    def point(self, name: str, address: str, **how: Any) -> None:
        for one in (self.zone, self.resolver):
            one.set(name, "A", address, **how)

    def bakery(self, *argv: str) -> Any:
        return json.loads(self.server.says("/usr/local/bin/bakery", *argv, "--json"))

    def verdict(self, name: str) -> tuple[str, str]:
        seen = self.bakery("domain", "verify", name)
        return seen["verdict"], " ".join(finding["message"] for finding in seen["report"]["findings"])

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.pebble.root_certificate().decode())

    def served(self, name: str) -> str:
        """The fingerprint of the certificate that is shown for the name; "" where there is none for it."""
        with contextlib.suppress(OSError):
            facts = shown(name, 443, self.server.address).facts
            return facts.fingerprint if facts.covers(name) else ""
        return ""

    def secure(self, name: str) -> Secure:
        return Secure(name, 443, self.tls(), self.server.address)

    def leads_to_https(self, name: str) -> bool:
        """Asked until it does: while Nginx reloads, the old workers answer as well."""
        answer = self.server.request(path="/a?b=c", host=name)
        return (answer.status_code, answer.headers.get("Location")) == (301, f"https://{name}/a?b=c")

    def workers(self) -> set[str]:
        """Of Nginx, those that a reload has not told to end."""
        lines = self.server.says("ps", "-C", "nginx", "-o", "pid=,args=").splitlines()
        return {line.split()[0] for line in lines if line.endswith("worker process")}

    def left_of(self, store_name: str, *names: str) -> str:
        places = (f"{DATA}/letsencrypt", f"{DATA}/nginx/certificates")
        named = self.server.says("find", *places, "-name", f"{store_name}*")
        sites = self.server.says("grep", "-rlwF", *(f"-e{name}" for name in names), f"{DATA}/nginx/sites")
        return f"{named} {sites}".strip()


@pytest.fixture(scope="module")
def world(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    needs("pebble")
    if server.admin is None or not server.exists("/usr/local/bin/bakery"):
        server.install()
    with DnsServer(address=server.gateway) as zone, DnsServer(address=server.gateway) as resolver:
        for one in (zone, resolver):
            for name in ("example.com", "example.org"):
                one.zone(name, address=server.gateway)
        pebble = Pebble(tmp_path_factory.mktemp("acme") / "run", 80, address="0.0.0.0", dns=zone.at)
        try:
            pebble.start()
            configure(server, zone, resolver, pebble)
            app = ServerApp(server, "named").create(healthy("1"))
            app.deploy(healthy("1"))
            yield World(server, zone, resolver, pebble, app)
        finally:
            pebble.stop()
            server.bakery("delete_deployment", "named", "--yes", check=False)


def configure(server: Server, zone: DnsServer, resolver: DnsServer, pebble: Pebble) -> None:
    server.put(BUNDLE, pebble.bundle.read_text())
    settings = {
        "BAKERY_ALLOW_FILE_REPOSITORIES": "true",
        "BAKERY_DNS_RESOLVERS": f"{zone.at},{resolver.at}",
        "BAKERY_DNS_PORT": str(zone.port),
        "CERTBOT_SERVER": f"https://acme.test:{pebble.port}/dir",
        "REQUESTS_CA_BUNDLE": BUNDLE,
    }
    server.do(
        "sed", "-i", "$ a " + "\\n".join(f"{name}={value}" for name, value in settings.items()), "/opt/bakery/.env"
    )
    server.do("systemctl", "restart", "bakery.target")
    server.wait_until_healthy()


@pytest.fixture
def secured(world: World) -> World:
    """Both names are on HTTPS; brought there by Bakery itself once their DNS is right."""
    if not (world.served(SHOP) and world.served(PANEL)):
        for name, of in ((SHOP, ("named", SHOP)), (PANEL, (PANEL, "--panel"))):
            world.point(name, ELSEWHERE, ttl=1)
            world.bakery("domain", "add", *of)
            verdict, said = world.verdict(name)
            assert (verdict, f"points to {ELSEWHERE}, which is not this server" in said) == ("wrong", True)
            # Right with the zone's own server: Bakery looks again when the resolvers' memory has run out.
            world.zone.set(name, "A", world.server.address, view="authoritative")
            world.verdict(name)
            world.point(name, world.server.address)
        until(lambda: world.served(SHOP) != "" and world.served(PANEL) != "", PATIENCE)
    return world


def test_names_come_to_https_with_the_right_chain(secured: World) -> None:
    connection = secured.secure(SHOP)
    connection.request("GET", "/")
    assert "version" in json.loads(connection.getresponse().read())
    for name in (SHOP, PANEL):
        until(lambda name=name: secured.leads_to_https(name))


def test_a_switch_under_https_load_loses_nothing_and_keeps_the_certificate(secured: World) -> None:
    before = secured.served(SHOP)
    old, new = ("1", "2") if secured.app.version() == "1" else ("2", "1")
    with Visitors(443, SHOP, of_each=1, address=secured.server.address, tls=secured.tls()) as visitors:
        until(lambda: visitors.seen(old) > 10)
        secured.app.deploy(healthy(new))
        until(lambda: visitors.seen(new) > 10)
    assert visitors.lost == []
    assert secured.served(SHOP) == before


def test_a_person_signs_in_to_the_panel_over_https_and_still_by_the_machines_address(secured: World) -> None:
    connection = secured.secure(PANEL)
    connection.request("GET", "/auth/login")
    page = connection.getresponse()
    token = TOKEN.search(page.read().decode())
    given = [line.split(";")[0] for line in page.headers.get_all("Set-Cookie", [])]
    assert token
    assert secured.server.admin
    who = {"username": secured.server.admin.email, "password": secured.server.admin.password}
    headers = {"Origin": f"https://{PANEL}", "Cookie": "; ".join(given)}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request("POST", "/auth/login", urlencode({"csrfmiddlewaretoken": token[1], **who}), headers)
    answer = connection.getresponse()
    assert answer.status == 302
    cookies = answer.headers.get_all("Set-Cookie", [])
    assert cookies
    assert all(line.startswith("__Host-") and "Secure" in line for line in cookies)
    assert secured.server.signed_in()


def test_the_timer_renews_while_bakery_is_stopped_and_a_reboot_changes_nothing(secured: World) -> None:
    server = secured.server
    before = {name: secured.served(name) for name in (SHOP, PANEL)}
    # As if they were about to run out.
    server.do("sh", "-c", f"sed -i '1i renew_before_expiry = 99999 days' {DATA}/letsencrypt/config/renewal/*.conf")
    server.do("systemctl", "stop", "bakery.target")
    assert server.is_active(f"{RENEWAL}.timer")
    workers = secured.workers()
    server.do("systemctl", "start", f"{RENEWAL}.service", timeout=200)
    renewed = {name: secured.served(name) for name in (SHOP, PANEL)}
    assert all(renewed.values())
    assert set(renewed.values()).isdisjoint(before.values())
    assert secured.workers() == workers
    assert not server.is_active("bakery.service")
    server.do("sh", "-c", f"sed -i '/^renew_before_expiry = 99999/d' {DATA}/letsencrypt/config/renewal/*.conf")

    server.reboot()
    until(lambda: {name: secured.served(name) for name in (SHOP, PANEL)} == renewed, 120)
    server.wait_until_healthy()
    assert server.is_active(f"{RENEWAL}.timer")
    said = json.loads(server.says("/usr/local/bin/bakery", "doctor", "--json"))
    found = {finding["subject"]: finding["verdict"] for finding in said["findings"]}
    assert {
        "Certbot": "ok",
        "Renewal": "ok",
        "Resolver": "ok",
        "Port 80": "ok",
        "Port 443": "ok",
    }.items() <= found.items()


def test_removed_nothing_of_them_is_left(secured: World) -> None:
    for name in (SHOP, PANEL):
        secured.bakery("domain", "remove", name)
    until(lambda: not secured.left_of("panel", PANEL) and not secured.left_of("deployment-", SHOP), PATIENCE)
    until(lambda: (secured.served(SHOP), secured.served(PANEL)) == ("", ""))  # files go before Nginx is told
    assert secured.app.version()
    assert secured.server.answers("/auth/login", host=secured.server.address)[0] == 200


def test_the_renewal_is_as_confined_as_its_work_allows(world: World) -> None:
    said = world.server.do("systemd-analyze", "security", "--no-pager", f"{RENEWAL}.service")
    figure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert figure
    assert float(figure[1]) <= 3.5, said
