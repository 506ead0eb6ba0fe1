"""Certificates of an installed server that expire, are revoked, or are wanted anew before their time; and Certbot's own
way with the server's Nginx."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from tests.certificates import Authority
from tests.host.names_of_a_server import DATA, PATIENCE, SHOP, World
from tests.integration.visitors import Visitors
from tests.integration.waiting import until

WWW = "www.example.com"
UNFINISHED = "SELECT count(*) FROM bakery_task WHERE state IN ('queued', 'running')"


def bring_to_https(world: World, name: str) -> None:
    """By Bakery itself: its DNS is right."""
    world.point(name, world.server.address)
    world.bakery("domain", "add", "named", name)
    world.bakery("domain", "verify", name)
    until(lambda: world.served(name) != "", PATIENCE)


def wait_until_quiet(world: World) -> None:
    """Nothing is under way, and of Nginx's workers there is one generation."""
    cores = int(world.server.says("getconf", "_NPROCESSORS_ONLN"))
    until(lambda: world.app.query(UNFINISHED) == "0" and len(world.workers()) == cores, PATIENCE)


@pytest.fixture
def issued(world: World) -> World:
    """The shop is on HTTPS, by a certificate that Certbot has had issued, and all is quiet."""
    if not world.served(SHOP):
        bring_to_https(world, SHOP)
    wait_until_quiet(world)
    assert world.version(SHOP) == world.app.version()
    return world


def test_a_renewal_that_is_forced_is_served_by_the_same_workers_of_nginx(issued: World) -> None:
    before, workers, master = issued.served(SHOP), issued.workers(), issued.master()
    version = issued.app.version()
    with Visitors(443, SHOP, of_each=1, address=issued.server.address, tls=issued.tls()) as visitors:
        until(lambda: visitors.seen(version) > 10)
        task = issued.certificate("renew", "named", "--force")
        assert task["state"] == "succeeded", task["error_message"]
        assert issued.served(SHOP) not in ("", before)
        seen = visitors.seen(version)
        until(lambda: visitors.seen(version) > seen + 10)
    assert visitors.lost == []
    assert (issued.workers(), issued.master()) == (workers, master)


def test_a_revoked_certificate_raises_an_alarm_and_is_replaced(issued: World) -> None:
    leaf, before = issued.leaf(SHOP), issued.served(SHOP)
    issued.responder.know(leaf)
    issued.bakery("certificate", "check", "named")
    assert issued.alarms() == {}
    with issued.pebble.frozen():  # so that the next one is not there yet
        issued.responder.revoke(leaf, dt.datetime.now(dt.timezone.utc))
        issued.bakery("certificate", "check", "named")
        alarm = issued.alarms()["certificate.revoked"]
    assert "was revoked by the authority" in alarm["message"]
    assert alarm["urgent"]
    until(lambda: issued.served(SHOP) not in ("", before), PATIENCE)
    until(lambda: issued.alarms() == {}, PATIENCE)
    assert issued.version(SHOP) == issued.app.version()


def test_an_expired_certificate_raises_an_alarm_until_another_one_is_served(issued: World) -> None:
    server, own = issued.server, Authority("Somebody")
    ending, old = own.issue(SHOP, days=(-80, 10)), own.issue(SHOP, days=(-90, -1))
    server.put("/root/chain.pem", ending.chain_pem.decode())
    server.put("/root/key.pem", ending.key_pem.decode(), "600")
    task = issued.certificate("upload", "named", "/root/chain.pem", "/root/key.pem")
    assert task["state"] == "succeeded", task["error_message"]
    assert issued.served(SHOP) == ending.fingerprint
    assert "expires in 9 days" in issued.alarms()["certificate.expires"]["message"]

    # Nobody has uploaded its successor, and the days have gone by.
    served = f"{DATA}/nginx/certificates/deployment-{task['deployment_id']}/current"
    server.put(f"{served}/key.pem", old.key_pem.decode(), "640")
    server.put(f"{served}/chain.pem", old.chain_pem.decode(), "640")
    assert issued.served(SHOP) == old.fingerprint
    seen = issued.bakery("certificate", "check", "named")
    assert "it has expired on" in seen["served_problems"][SHOP]
    alarm = issued.alarms()["certificate.expires"]
    assert "has expired on" in alarm["message"]
    assert alarm["urgent"]

    task = issued.certificate("issue", "named")
    assert task["state"] == "succeeded", task["error_message"]
    assert issued.alarms() == {}
    assert issued.version(SHOP) == issued.app.version()


@pytest.fixture
def by_the_plugin(issued: World) -> Iterator[World]:
    """Bakery is told to let Certbot change the server's Nginx."""
    issued.configure(CERTBOT_AUTHENTICATOR="nginx")
    yield issued
    issued.configure(CERTBOT_AUTHENTICATOR="")


def test_certbots_nginx_plugin_has_a_certificate_issued_and_renewed_and_leaves_nginx_as_it_was(
    by_the_plugin: World,
) -> None:
    world, server = by_the_plugin, by_the_plugin.server
    files = ("sh", "-c", "find /etc/nginx -type f -exec sha256sum {} + | sort")
    nginx = server.do(*files)
    bring_to_https(world, WWW)
    wait_until_quiet(world)
    assert "authenticator = nginx" in server.do("sh", "-c", f"cat {DATA}/letsencrypt/config/renewal/*.conf")
    assert world.version(WWW) == world.version(SHOP) == world.app.version()
    assert server.run("nginx", "-t").ok
    assert server.do(*files) == nginx

    # The timer renews it in the same way.
    before = world.served(WWW)
    world.let_the_timer_renew()
    assert world.served(WWW) not in ("", before)
    assert world.version(WWW) == world.app.version()
    assert server.run("nginx", "-t").ok
    assert server.do(*files) == nginx
