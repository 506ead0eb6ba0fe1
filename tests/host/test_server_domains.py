"""Names and certificates of an installed server: its own Nginx, a real Certbot, and systemd's timer.

Beside the server stand a DNS server and Pebble.
"""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode

import pytest

from tests.host.names_of_a_server import PANEL, PATIENCE, RENEWAL, SHOP, World
from tests.integration.apps import healthy
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

ELSEWHERE = "203.0.113.9"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


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
    assert secured.version(SHOP) == secured.app.version()
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
    server.do("systemctl", "stop", "bakery.target")
    assert server.is_active(f"{RENEWAL}.timer")
    workers = secured.workers()
    secured.let_the_timer_renew()
    renewed = {name: secured.served(name) for name in (SHOP, PANEL)}
    assert all(renewed.values())
    assert set(renewed.values()).isdisjoint(before.values())
    assert secured.workers() == workers
    assert not server.is_active("bakery.service")

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
