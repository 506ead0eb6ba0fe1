"""Under which names a running web process answers, while the panel's domains come and go in the database."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from django.conf import settings
from django.db import connection
from django.http.request import validate_host
from django.utils import timezone
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bakery import addresses
from bakery.addresses import AllowedHosts, PanelDomains
from domains.models import Certificate, Domain
from tests.integration.people import PASSWORD, alice
from tests.integration.waiting import until
from tests.integration.web_process import Web, daphne

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
NAME, MACHINE = "panel.example.com", "203.0.113.7"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


@pytest.fixture(scope="module")
def web(django_db_setup: None, django_db_blocker: Any) -> Iterator[Web]:
    with tempfile.TemporaryDirectory(prefix="bakery-addresses-") as name, django_db_blocker.unblock():
        settings_of_a_server = {"BAKERY_WEB_SERVER": "system", "BAKERY_PUBLIC_IP": MACHINE}
        with daphne(Path(name) / "data", pages=True, **settings_of_a_server) as web:
            yield web


@pytest.fixture(autouse=True)
def remembers_nothing() -> Iterator[None]:
    addresses.panel_domains.forget()
    yield
    addresses.panel_domains.forget()


class Visit:
    """A browser that came through Nginx to ``origin``."""

    def __init__(self, web: Web, origin: str) -> None:
        self.web, self.origin = web, origin
        self.scheme, _, self.host = origin.partition("://")
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Host": self.host, "X-Forwarded-Proto": self.scheme, "Origin": self.origin}
        headers |= {"Cookie": self.cookie} if self.cookies else {}
        answer = requests.request(
            method, f"{self.web.url}{path}", headers=headers, allow_redirects=False, timeout=60, **more
        )
        self.cookies |= answer.cookies.get_dict()
        return answer

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def status(self) -> int:
        return self.ask("GET", "/auth/login").status_code

    def sign_in(self) -> requests.Response:
        token = TOKEN.search(self.ask("GET", "/auth/login").text)
        assert token
        form = {"csrfmiddlewaretoken": token[1], "username": "alice@example.com", "password": PASSWORD}
        return self.ask("POST", "/auth/login", data=form)

    def websocket(self, origin: str) -> ClientConnection:
        return connect(
            f"ws://{self.host}/ws/events/",
            origin=origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": self.cookie, "X-Forwarded-Proto": self.scheme},
            sock=socket.create_connection(("127.0.0.1", self.web.port)),
            open_timeout=60,
        )


def certificate(*names: str) -> Certificate:
    until_then = timezone.now() + timedelta(days=60)
    return Certificate.objects.create(names=list(names), fingerprint="0" * 64, not_after=until_then)


def test_a_domain_of_the_panels_is_good_without_a_restart_and_no_longer_when_it_is_removed(web: Web) -> None:
    alice()
    visit = Visit(web, f"https://{NAME}")
    assert visit.status() == 400
    domain = Domain.objects.create(hostname=NAME, primary=True)
    until(lambda: visit.status() == 200)
    assert visit.sign_in().status_code == 302
    assert visit.ask("GET", "/").status_code == 200
    with visit.websocket(f"https://{NAME}"):
        pass
    with pytest.raises(InvalidStatus, match="403"):
        visit.websocket("https://shop.example.com")
    domain.delete()
    until(lambda: visit.status() == 400)


def test_over_https_cookies_are_secure_and_by_the_machines_address_a_person_still_signs_in(web: Web) -> None:
    alice()
    Domain.objects.create(hostname=NAME, primary=True)
    secure, plain = Visit(web, f"https://{NAME}"), Visit(web, f"http://{MACHINE}")
    until(lambda: secure.status() == 200)
    for visit in (secure, plain):
        set_cookies = visit.sign_in().headers["Set-Cookie"]
        assert ("Secure" in set_cookies, "__Host-" in set_cookies) == (
            (True, True) if visit is secure else (False,) * 2
        )
        assert visit.ask("GET", "/").status_code == 200
        assert "Strict-Transport-Security" not in visit.ask("GET", "/").headers
    assert set(secure.cookies).isdisjoint(plain.cookies)


def test_the_name_of_another_site_is_not_the_panels(web: Web) -> None:
    Domain.objects.create(hostname=NAME, primary=True)
    until(lambda: Visit(web, f"http://{NAME}").status() == 200)
    assert Visit(web, f"http://shop.{NAME}").status() == 400


def test_a_fixed_name_costs_no_query_and_a_domain_one_in_a_while(
    django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "time", SimpleNamespace(monotonic=lambda: 1000.0))  # all of it within “a while”
    Domain.objects.create(hostname=NAME, primary=True)
    hosts = AllowedHosts([MACHINE])
    with django_assert_num_queries(0):
        assert validate_host(MACHINE, hosts)
    with django_assert_num_queries(2):
        assert all(validate_host(NAME, hosts) for _ in range(20))
    with django_assert_num_queries(0):
        assert not validate_host("elsewhere.example", hosts)


def test_without_its_database_the_panel_goes_by_what_it_knew() -> None:
    Domain.objects.create(hostname=NAME, primary=True)
    known = PanelDomains()
    assert known.known().names == {NAME}
    with away():
        known.forget()
        assert known.known().names == {NAME}
        assert PanelDomains().known().names == frozenset()


@contextmanager
def away() -> Iterator[None]:
    """The database refuses to say anything of domains."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE domains_domain RENAME TO elsewhere")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO domains_domain")


def test_links_lead_to_the_domain_once_its_certificate_covers_it() -> None:
    machine = settings.BAKERY.base_url
    assert addresses.base_url() == machine
    Domain.objects.create(hostname=NAME, primary=True)
    Domain.objects.create(hostname=f"www.{NAME}", redirects=True)
    addresses.panel_domains.forget()
    assert addresses.base_url() == machine
    one = certificate(f"www.{NAME}")
    addresses.panel_domains.forget()
    assert addresses.base_url() == machine
    Certificate.objects.filter(pk=one.pk).update(names=[NAME, f"www.{NAME}"])
    addresses.panel_domains.forget()
    assert addresses.base_url() == f"https://{NAME}:{settings.BAKERY.https_port}"
