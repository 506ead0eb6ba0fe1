"""From a name that somebody types to HTTPS, and away again: a whole Bakery, a real DNS server, Pebble, Certbot.

Nothing here asks Bakery to look at DNS again, or to issue: it does that by itself.
"""

from __future__ import annotations

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from infrastructure.certificates.handshake import shown
from infrastructure.nginx.master import accepting_workers
from tests.instance import EMAIL, PASSWORD, Instance
from tests.integration.acme import Pebble, needs
from tests.integration.another_instance import another_instance
from tests.integration.apps import AppRepository, healthy
from tests.integration.dns_server import DnsServer
from tests.integration.driving import Driven, rows
from tests.integration.visitors import Secure, Visitors
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
HERE, ELSEWHERE = "127.0.0.1", "203.0.113.9"
SHOP, WWW, PANEL = "example.com", "www.example.com", "panel.example.org"
PATIENCE = 180.0  # a look at DNS, a tend and a certificate, on a slow machine
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@dataclass
class Dns:
    """The zone's own server, which is a resolver as well, and another resolver."""

    zone: DnsServer
    resolver: DnsServer

    def set(self, name: str, address: str, **how: Any) -> None:
        for server in (self.zone, self.resolver):
            server.set(name, "A", *([address] if address else []), **how)


@dataclass
class World:
    instance: Instance
    dns: Dns
    pebble: Pebble

    def manage(self, *argv: str) -> Any:
        return json.loads(self.instance.manage(*argv, "--json").stdout)

    def refuse(self, *argv: str) -> dict[str, Any]:
        done = self.instance.manage(*argv, "--json", check=False)
        found: dict[str, Any] = json.loads(done.stderr.strip().splitlines()[-1])
        return found

    def tls(self) -> ssl.SSLContext:
        """Trusts what Pebble's root leads to, and nothing else."""
        return ssl.create_default_context(cadata=self.pebble.root_certificate().decode())

    def served(self, name: str) -> str:
        """The fingerprint of the certificate that is shown for the name; "" where there is none for it."""
        try:
            facts = shown(name, self.instance.https_port).facts
        except OSError:
            return ""
        return facts.fingerprint if facts.covers(name) else ""

    def over_http(self, name: str, path: str = "/") -> requests.Response:
        url = f"http://127.0.0.1:{self.instance.http_port}{path}"
        host = f"{name}:{self.instance.http_port}"
        return requests.get(url, headers={"Host": host}, allow_redirects=False, timeout=60)

    def over_https(self, name: str, path: str = "/") -> tuple[int, str, str]:
        """Status, text, and where it leads; 0 and why where there is no answer."""
        connection = Secure(name, self.instance.https_port, self.tls())
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers.get("Location", "")
        except OSError as error:
            return 0, str(error), ""
        finally:
            connection.close()

    def leads_to_https(self, name: str, path: str) -> bool:
        """Asked until it does: while Nginx reloads, the old workers answer as well."""
        answer = self.over_http(name, path)
        return (answer.status_code, answer.headers.get("Location")) == (301, self.address(name, path))

    def is_gone(self, name: str) -> bool:
        return self.served(name) == "" and self.over_http(name).status_code == 404

    def address(self, name: str, path: str = "/") -> str:
        return f"https://{name}:{self.instance.https_port}{path}"

    def workers(self) -> set[int]:
        master = int((self.instance.data_dir / "nginx" / "nginx.pid").read_text())
        return accepting_workers(master)  # not those that a reload has sent away, which end when they like

    def left_of(self, store_name: str, *names: str) -> list[str]:
        """Rows, files and directories that speak of a certificate or of names."""
        data = self.instance.data_dir
        found = [
            str(path)
            for root in ("letsencrypt", "nginx/certificates")
            for path in (data / root).rglob(f"{store_name}*")
        ]
        sites = subprocess.run(
            ["grep", "-rlwF", *(f"-e{name}" for name in names), str(data / "nginx" / "sites")],
            capture_output=True, text=True, check=False,
        ).stdout.split()  # fmt: skip
        domains = rows(self.instance, "SELECT hostname FROM domains_domain WHERE hostname = ANY(%s)", list(names))
        return [*found, *sites, *(row["hostname"] for row in domains)]

    def has_certificate(self, deployment: int | None) -> bool:
        query = "SELECT 1 FROM domains_certificate WHERE deployment_id IS NOT DISTINCT FROM %s AND fingerprint <> ''"
        return bool(rows(self.instance, query, deployment))


@pytest.fixture(scope="module")
def dns() -> Iterator[Dns]:
    with DnsServer() as zone, DnsServer() as resolver:
        for server in (zone, resolver):
            for name in (SHOP, PANEL.partition(".")[2]):
                server.zone(name)
        yield Dns(zone, resolver)


@pytest.fixture(scope="module")
def world(dns: Dns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    needs("pebble", "certbot")
    settings = {
        "BAKERY_PUBLIC_IP": HERE,
        "BAKERY_DNS_RESOLVERS": f"{dns.zone.at},{dns.resolver.at}",
        "BAKERY_DNS_PORT": str(dns.zone.port),
    }
    with another_instance(settings) as instance:
        instance.manage("create_admin", EMAIL, "-", "--reset", stdin=f"{PASSWORD}\n")
        port = int(instance.env["CERTBOT_SERVER"].split(":")[2].split("/")[0])
        root = Path(shutil.copytree(instance.data_dir / "acme-listener", tmp_path_factory.mktemp("pebble") / "run"))
        pebble = Pebble(root, instance.http_port, port=port, dns=dns.zone.at)
        try:
            yield World(instance, dns, pebble.start())
        finally:
            pebble.stop()


def test_a_name_comes_to_https_by_itself_and_leaves_nothing_behind(world: World, tmp_path: Path) -> None:
    shop = Driven(world.instance, "shop", AppRepository(tmp_path / "shop", healthy("1"))).create()
    assert shop.deploy()["state"] == "succeeded", shop.build_log()
    store = f"deployment-{shop.id}"
    world.dns.set(SHOP, ELSEWHERE, ttl=1)
    world.dns.set(WWW, HERE)

    # Wrong DNS is explained, and nothing is issued with it.
    world.manage("domain", "add", "shop", SHOP)
    world.manage("domain", "primary", SHOP)
    world.manage("domain", "add", "shop", WWW, "--redirect")
    wrong = world.manage("domain", "verify", SHOP)
    assert wrong["verdict"] == "wrong"
    said = " ".join(finding["message"] for finding in wrong["report"]["findings"])
    assert f"points to {ELSEWHERE}, which is not this server" in said
    assert {"type": "A", "host": "@", "value": ELSEWHERE, "to": HERE}.items() <= wrong["report"]["changes"][0].items()
    assert world.over_http(SHOP).json() == {"version": "1"}  # it serves what arrives all the same

    # Put right, it is noticed when the resolvers' memory runs out; a certificate is issued, and served with its chain.
    world.dns.zone.set(SHOP, "A", HERE, view="authoritative")
    waiting = world.manage("domain", "verify", SHOP)
    assert (waiting["verdict"], bool(waiting["report"]["wait"])) != ("right", False)
    world.dns.set(SHOP, HERE)
    until(lambda: world.served(SHOP) != "" and world.served(WWW) != "", PATIENCE)
    until(lambda: world.over_https(SHOP)[:2] == (200, '{"version":"1"}'))
    until(lambda: world.leads_to_https(SHOP, "/a/b?c=d"))
    until(lambda: world.over_https(WWW, "/a?b")[::2] == (301, world.address(SHOP, "/a?b")))

    # A switch, and a certificate renewed by force, under load: nothing is lost, and nobody restarts.
    first = world.served(SHOP)
    with Visitors(world.instance.https_port, SHOP, of_each=1, tls=world.tls()) as visitors:
        until(lambda: visitors.seen("1") > 10)
        shop.repository.commit(healthy("2"))
        assert shop.deploy()["state"] == "succeeded", shop.build_log()
        until(lambda: visitors.seen("2") > 10)
        assert world.served(SHOP) == first
        workers = world.workers()
        world.manage("certificate", "renew", "shop", "--force")
        assert world.served(SHOP) not in ("", first)
        assert world.workers() == workers
    assert visitors.lost == []

    # Removed, nothing of it is left.
    world.manage("domain", "remove", WWW)
    world.manage("domain", "remove", SHOP)
    until(lambda: not world.has_certificate(shop.id) and not world.left_of(store, SHOP, WWW), PATIENCE)
    until(lambda: world.is_gone(SHOP))
    assert shop.version() == "2"


def test_bakerys_own_pages_come_to_https_beside_the_way_that_always_works(world: World) -> None:
    world.dns.set(PANEL, HERE)
    world.instance.manage("create_deployment", "blog", "--repo", "https://repository.invalid/blog.git")
    world.manage("domain", "add", PANEL, "--panel")
    until(lambda: world.served(PANEL) != "", PATIENCE)
    until(lambda: world.leads_to_https(PANEL, "/activity?state=failed"))
    assert world.refuse("domain", "add", "blog", PANEL)["id"] == "domain.of-bakery"

    cookies = sign_in(world)
    assert cookies
    assert all(name.startswith("__Host-") and "secure" in rest.lower() for name, rest in cookies.items())
    world.instance.client()  # by http, as before

    world.manage("domain", "remove", PANEL)
    until(lambda: not world.has_certificate(None) and not world.left_of("panel", PANEL), PATIENCE)
    until(lambda: world.is_gone(PANEL))
    world.instance.client()


def sign_in(world: World) -> dict[str, str]:
    """By the page, over HTTPS; the cookies of the session: name to the rest of the line."""
    connection = Secure(PANEL, world.instance.https_port, world.tls())
    host = f"{PANEL}:{world.instance.https_port}"
    connection.request("GET", "/auth/login", headers={"Host": host})
    page = connection.getresponse()
    token = TOKEN.search(page.read().decode())
    assert token
    given = [line.split(";")[0] for line in page.headers.get_all("Set-Cookie", [])]
    form = urlencode({"csrfmiddlewaretoken": token[1], "username": EMAIL, "password": PASSWORD})
    headers = {
        "Host": host,
        "Origin": f"https://{host}",
        "Cookie": "; ".join(given),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection.request("POST", "/auth/login", form, headers)
    answer = connection.getresponse()
    assert answer.status == 302, answer.read()
    lines = answer.headers.get_all("Set-Cookie", [])
    connection.close()
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}
