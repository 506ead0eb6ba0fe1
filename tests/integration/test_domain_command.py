"""``manage.py domain``, and what becomes of a name in a running Bakery."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from deployments.models import Deployment
from deployments.services.settings import create_deployment
from domains.models import Domain
from tests.instance import Instance
from tests.integration.dns_server import DnsServer
from tests.integration.people import bob
from tests.integration.waiting import until

pytestmark = pytest.mark.django_db
HERE = "127.0.0.1"


def run(*argv: str) -> str:
    out = StringIO()
    call_command("domain", *argv, stdout=out, stderr=out)
    return out.getvalue()


def data(*argv: str) -> Any:
    return json.loads(run(*argv, "--json"))


def refused(*argv: str) -> str:
    with pytest.raises(CommandError) as caught:
        run(*argv)
    return str(caught.value)


@pytest.fixture
def shop() -> Deployment:
    return create_deployment(by=None, name="shop", repository="https://example.com/shop.git")


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """Where the instance, and the tests' own process, ask."""
    with DnsServer(settings.BAKERY.dns_port) as running:
        running.zone("example.com")
        yield running


def test_names_are_added_listed_made_primary_and_removed(shop: Deployment) -> None:
    told = run("add", "shop", "Bücher.example.com")
    assert "bücher.example.com was added" in told
    assert "A     xn--bcher-kva  127.0.0.1  300" in told
    added = data("add", "shop", "example.com", "--primary")
    assert (added["hostname"], added["primary"], added["deployment"]["name"]) == ("example.com", True, "shop")
    assert data("add", "shop", "www.example.com", "--redirect")["redirects"] is True
    assert [row["hostname"] for row in data("list", "shop")] == [
        "example.com", "shop.localhost", "www.example.com", "xn--bcher-kva.example.com"
    ]  # fmt: skip
    assert "bücher.example.com" in run("list")
    assert data("primary", "www.example.com")["primary"] is True
    assert data("records", "example.com")["records"][0]["host"] == "@"
    assert data("remove", "BÜCHER.example.com")["hostname"] == "xn--bcher-kva.example.com"
    assert "Nobody has the domain" in refused("remove", "bücher.example.com")


def test_what_is_wrong_is_said_with_what_to_type(shop: Deployment) -> None:
    assert "Type shop.example.com alone." in refused("add", "shop", "https://shop.example.com/")
    assert "belongs to the deployment shop" in _taken(shop)
    assert "takes NAME DOMAIN" in refused("add", "shop")
    assert "--ask-password" in refused("set", "www.example.com", "auth_password=x")
    assert "no setting colour" in refused("set", "www.example.com", "colour=blue")


def _taken(shop: Deployment) -> str:
    create_deployment(by=None, name="blog", repository=shop.repository)
    run("add", "shop", "www.example.com")
    return refused("add", "blog", "www.example.com")


def test_settings_are_written_as_field_and_value(shop: Deployment) -> None:
    run("add", "shop", "www.example.com")
    changed = data(
        "set", "www.example.com", "hsts_seconds=3600", "allowed_networks=10.0.0.0/8,203.0.113.7", "maintenance=yes",
        "header.X-Frame-Options=DENY", "max_body_mb=",
    )["settings"]  # fmt: skip
    assert changed == {
        "hsts_seconds": 3600,
        "max_body_mb": None,
        "auth_user": "",
        "allowed_networks": ["10.0.0.0/8", "203.0.113.7/32"],
        "maintenance": True,
        "headers": {"X-Frame-Options": "DENY"},
    }
    assert data("set", "www.example.com", "headers=")["settings"]["headers"] == {}


def test_a_free_name_leads_to_the_servers_address(shop: Deployment) -> None:
    assert data("add", "--free", "shop")["hostname"] == "shop.127-0-0-1.sslip.io"


def test_bakerys_own_names_are_an_admins_to_change(shop: Deployment) -> None:
    assert data("add", "--panel", "bakery.example.com")["deployment"] is None
    bob()
    assert "Ask an admin" in refused("add", "--panel", "panel.example.com", "--as", "bob@example.com")
    assert "Ask an admin" in refused("remove", "bakery.example.com", "--as", "bob@example.com")
    assert Domain.objects.filter(deployment=None).count() == 1


def test_verify_prints_each_record_each_finding_and_what_to_change(shop: Deployment, dns: DnsServer) -> None:
    run("add", "shop", "www.example.com")
    dns.set("www.example.com", "A", "203.0.113.9")
    told = run("verify", "www.example.com")
    assert "127.0.0.1: www.example.com A 203.0.113.9 300" in told
    assert "✗ It points to 203.0.113.9, which is not this server." in told
    assert "Change: A www 203.0.113.9 → 127.0.0.1" in told


@pytest.mark.slow
def test_a_running_bakery_routes_a_name_and_notices_by_itself_when_its_dns_is_right(
    instance: Instance, dns: DnsServer
) -> None:
    def said(name: str, password: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection(HERE, instance.http_port, timeout=60)
        basic = base64.b64encode(f"staff:{password}".encode()).decode()
        try:
            connection.request("GET", "/", headers={"Host": name, "Authorization": f"Basic {basic}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def verdict(name: str = "named.example.com") -> dict[str, Any]:
        found: dict[str, Any] = next(row for row in listed() if row["hostname"] == name)
        return found

    def listed() -> list[dict[str, Any]]:
        return list(json.loads(instance.manage("domain", "list", "--json").stdout))

    repository = "https://example.com/named.git"
    instance.manage("create_deployment", "named", "--repo", repository)
    try:
        instance.manage("domain", "add", "named", "named.example.com")
        until(lambda: said("named.example.com")[0] == 503, 120)  # the page of a deployment that never ran
        until(lambda: "named" in said("named.example.com")[1])  # while Nginx reloads, the old workers answer as well
        until(lambda: verdict()["verdict"] == "wrong", 120)
        dns.set("named.example.com", "A", HERE)
        instance.manage("domain", "verify", "named.example.com")
        assert verdict()["verdict"] == "right"  # a token came through Nginx, past the deployment
        dns.set("other.example.com", "A", HERE)
        instance.manage("domain", "add", "named", "other.example.com")
        until(lambda: verdict("other.example.com")["verdict"] == "right", 120)  # the worker looks by itself
        wanted = ("set", "named.example.com", "auth_user=staff", "--ask-password")
        instance.manage("domain", *wanted, stdin="correct horse\n")
        until(lambda: said("named.example.com")[0] == 401, 120)
        until(lambda: said("named.example.com", "correct horse")[0] == 503)  # Nginx reads the hash as it was made
        instance.manage("domain", "verify", "named.example.com")
        assert verdict()["verdict"] == "right"
        instance.manage("domain", "remove", "named.example.com")
        until(lambda: said("named.example.com", "correct horse")[0] not in (401, 503), 120)
        assert "named.example.com" not in [row["hostname"] for row in listed()]
    finally:
        instance.manage("delete_deployment", "named", "--yes", "--no-wait", check=False)
