"""An installed server whose names come to HTTPS: beside it stand a DNS server, Pebble, and an OCSP responder."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from cryptography import x509

from infrastructure.certificates.handshake import shown
from tests.host.apps_on_a_server import ServerApp
from tests.host.server import Server
from tests.integration.acme import Pebble, needs
from tests.integration.apps import healthy
from tests.integration.dns_server import DnsServer
from tests.integration.ocsp_responder import OcspResponder
from tests.integration.visitors import Secure

SHOP, PANEL = "shop.example.com", "panel.example.org"
BUNDLE = "/etc/acme-of-the-tests.pem"
ENVIRONMENT = "/opt/bakery/.env"
DATA = "/var/lib/bakery"
RENEWAL = "bakery-certificates"
PATIENCE = 240.0


@dataclass
class World:
    server: Server
    zone: DnsServer
    resolver: DnsServer
    pebble: Pebble
    responder: OcspResponder
    app: ServerApp

    def point(self, name: str, address: str, **how: Any) -> None:
        for one in (self.zone, self.resolver):
            one.set(name, "A", address, **how)

    def bakery(self, *argv: str) -> Any:
        return json.loads(self.server.says("/usr/local/bin/bakery", *argv, "--json"))

    def certificate(self, *argv: str) -> dict[str, Any]:
        """The task that the command has asked for, ended, however it ended."""
        return self.app.ended(self.bakery("certificate", *argv, "--no-wait")["id"], PATIENCE)

    def verdict(self, name: str) -> tuple[str, str]:
        seen = self.bakery("domain", "verify", name)
        return seen["verdict"], " ".join(finding["message"] for finding in seen["report"]["findings"])

    @cached_property
    def person(self) -> requests.Session:
        return self.server.signed_in()

    def alarms(self) -> dict[str, dict[str, Any]]:
        """Of the application, that are open: by their kind, as the API tells them."""
        answer = self.person.get(f"http://{self.server.address}/api/alarms", timeout=30)
        return {one["key"].split(":")[0]: one for one in answer.json() if one["deployment"] == self.app.name}

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.pebble.root_certificate().decode())

    def served(self, name: str) -> str:
        """The fingerprint of the certificate that is shown for the name; "" where there is none for it."""
        with contextlib.suppress(OSError):
            facts = shown(name, 443, self.server.address).facts
            return facts.fingerprint if facts.covers(name) else ""
        return ""

    def leaf(self, name: str) -> x509.Certificate:
        """What is shown for the name, with all that it says."""
        with (
            socket.create_connection((self.server.address, 443), timeout=30) as plain,
            self.tls().wrap_socket(plain, server_hostname=name) as connection,
        ):
            leaf = connection.getpeercert(binary_form=True)
        assert leaf
        return x509.load_der_x509_certificate(leaf)

    def secure(self, name: str) -> Secure:
        return Secure(name, 443, self.tls(), self.server.address)

    def version(self, name: str) -> str:
        """Of the application, over HTTPS; whoever asks trusts Pebble alone."""
        connection = self.secure(name)
        connection.request("GET", "/")
        found: str = json.loads(connection.getresponse().read())["version"]
        return found

    def leads_to_https(self, name: str) -> bool:
        """Asked until it does: while Nginx reloads, the old workers answer as well."""
        answer = self.server.request(path="/a?b=c", host=name)
        return (answer.status_code, answer.headers.get("Location")) == (301, f"https://{name}/a?b=c")

    def workers(self) -> set[str]:
        """Of Nginx, those that a reload has not told to end."""
        lines = self.server.says("ps", "-C", "nginx", "-o", "pid=,args=").splitlines()
        return {line.split()[0] for line in lines if line.endswith("worker process")}

    def master(self) -> str:
        return self.server.says("systemctl", "show", "-p", "MainPID,ActiveEnterTimestampMonotonic", "nginx")

    def let_the_timer_renew(self) -> None:
        """As if all certificates were about to run out."""
        files = f"{DATA}/letsencrypt/config/renewal/*.conf"
        self.server.do("sh", "-c", f"sed -i '1i renew_before_expiry = 99999 days' {files}")
        done = self.server.run("systemctl", "start", f"{RENEWAL}.service", timeout=200)
        self.server.do("sh", "-c", f"sed -i '/^renew_before_expiry = 99999/d' {files}")
        assert done.ok, self.server.says("journalctl", "--no-pager", "-n", "60", "-u", f"{RENEWAL}.service")

    def left_of(self, store_name: str, *names: str) -> str:
        places = (f"{DATA}/letsencrypt", f"{DATA}/nginx/certificates")
        named = self.server.says("find", *places, "-name", f"{store_name}*")
        sites = self.server.says("grep", "-rlwF", *(f"-e{name}" for name in names), f"{DATA}/nginx/sites")
        return f"{named} {sites}".strip()

    def configure(self, **settings: str) -> None:
        """Change what Bakery is started with ("": take the setting away), and start it anew."""
        lines = self.server.read(ENVIRONMENT).splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in settings]
        kept += [f"{name}={value}" for name, value in settings.items() if value]
        self.server.do("sh", "-c", f"cat >{ENVIRONMENT}", stdin="".join(f"{line}\n" for line in kept))
        self.server.do("systemctl", "restart", "bakery.target")
        self.server.wait_until_healthy()


@contextlib.contextmanager
def world_around(server: Server, root: Path) -> Iterator[World]:
    """With the application ``named``, which has no name of its own yet."""
    needs("pebble")
    if server.admin is None or not server.exists("/usr/local/bin/bakery"):
        server.install()
    with contextlib.ExitStack() as stack:
        zone, resolver = (stack.enter_context(DnsServer(address=server.gateway)) for _ in range(2))
        for one in (zone, resolver):
            for name in ("example.com", "example.org"):
                one.zone(name, address=server.gateway)
        responder = OcspResponder(server.gateway)
        stack.callback(responder.stop)
        pebble = Pebble(root / "run", 80, address="0.0.0.0", dns=zone.at, ocsp=responder.url)
        stack.callback(pebble.stop)
        pebble.start()
        responder.speak_for(*pebble.issuer())
        world = World(server, zone, resolver, pebble, responder, ServerApp(server, "named"))
        server.put(BUNDLE, pebble.bundle.read_text())
        world.configure(
            BAKERY_ALLOW_FILE_REPOSITORIES="true",
            BAKERY_DNS_RESOLVERS=f"{zone.at},{resolver.at}",
            BAKERY_DNS_PORT=str(zone.port),
            CERTBOT_SERVER=f"https://acme.test:{pebble.port}/dir",
            REQUESTS_CA_BUNDLE=BUNDLE,
        )
        stack.callback(server.bakery, "delete_deployment", "named", "--yes", check=False)
        world.app.create(healthy("1")).deploy(healthy("1"))
        yield world
