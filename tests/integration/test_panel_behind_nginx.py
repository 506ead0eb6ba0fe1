"""Bakery's own pages as a visitor of a server reaches them: through Nginx, which is in front of a real Daphne."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from axes.models import AccessAttempt
from django.conf import settings
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from benchmarks.switching.host import PrivateNginx
from tests.integration.people import PASSWORD, alice, bob
from tests.integration.web_process import Web, daphne
from tests.plan import free_port

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
NAME = "panel.example.com"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Panel:
    def __init__(self, nginx: PrivateNginx, web: Web) -> None:
        self.nginx, self.web = nginx, web
        self.host = f"{NAME}:{nginx.http_port}"
        self.origin = f"http://{self.host}"

    def ask(self, method: str, path: str, session: requests.Session | None = None, **more: Any) -> requests.Response:
        headers = {"Host": self.host, "Origin": self.origin, **more.pop("headers", {})}
        url = f"http://127.0.0.1:{self.nginx.http_port}{path}"
        return (session or requests.Session()).request(
            method, url, headers=headers, allow_redirects=False, timeout=60, **more
        )

    def sign_in(self, email: str, password: str, **headers: str) -> requests.Response:
        page = self.ask("GET", "/auth/login")
        token = TOKEN.search(page.text)
        assert token, page.text
        return self.ask(
            "POST",
            "/auth/login",
            data={"csrfmiddlewaretoken": token[1], "username": email, "password": password},
            headers={"Cookie": "; ".join(f"{name}={value}" for name, value in page.cookies.items()), **headers},
        )

    def websocket(self, path: str, origin: str, cookie: str) -> ClientConnection:
        return connect(
            f"ws://{self.host}{path}",
            origin=origin,  # type: ignore[arg-type]
            additional_headers={"Cookie": cookie},
            sock=socket.create_connection(("127.0.0.1", self.nginx.http_port)),
            open_timeout=60,
        )


@pytest.fixture(scope="module")
def panel(django_db_setup: None, django_db_blocker: Any) -> Iterator[Panel]:
    with tempfile.TemporaryDirectory(prefix="bakery-panel-") as name, django_db_blocker.unblock():
        root = Path(name)
        root.chmod(0o711)
        nginx = PrivateNginx(root)
        base = f"http://{NAME}:{nginx.http_port}"
        with daphne(root / "data", pages=True, BAKERY_WEB_SERVER="system", BAKERY_BASE_URL=base) as web:
            nginx.start()
            nginx.router.panel_port = web.port
            nginx.router.apply_panel((NAME,))
            yield Panel(nginx, web)
            nginx.stop()


def test_a_person_signs_in_through_nginx(panel: Panel) -> None:
    alice()
    answer = panel.sign_in("alice@example.com", PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert answer.headers["Set-Cookie"].count("Secure") == 0
    assert panel.ask("GET", "/auth/login", headers={"Host": "elsewhere.example"}).status_code == 404


def test_a_form_of_another_site_is_refused(panel: Panel) -> None:
    alice()
    assert panel.sign_in("alice@example.com", PASSWORD, Origin="http://elsewhere.example").status_code == 403


def test_sign_in_is_throttled_by_the_address_that_nginx_saw_whatever_a_visitor_claims(panel: Panel) -> None:
    bob()
    for number in range(settings.AXES_FAILURE_LIMIT):
        last = panel.sign_in("bob@example.com", "wrong", **{"X-Forwarded-For": f"192.0.2.{number}"})
    assert "Sign-in is paused" in last.text
    assert set(AccessAttempt.objects.values_list("ip_address", flat=True)) == {"127.0.0.1"}


def test_what_nginx_says_of_a_visitor_is_what_is_counted(panel: Panel) -> None:
    bob()
    page = requests.get(f"{panel.web.url}/auth/login", timeout=60)
    token = TOKEN.search(page.text)
    assert token
    form = {"csrfmiddlewaretoken": token[1], "username": "bob@example.com", "password": "wrong"}
    headers = {"X-Forwarded-For": "192.0.2.7"}
    requests.post(page.url, data=form, cookies=page.cookies, headers=headers, timeout=60)
    assert AccessAttempt.objects.get().ip_address == "192.0.2.7"


def test_websockets_pass_and_only_those_of_its_own_pages(panel: Panel) -> None:
    cookie = panel.web.cookie_of(alice())
    with panel.websocket("/ws/events/", panel.origin, cookie):
        pass
    with pytest.raises(InvalidStatus, match="403"):
        panel.websocket("/ws/events/", "http://elsewhere.example", cookie)


def test_the_state_of_bakery_is_passed_on_as_it_is(panel: Panel) -> None:
    answer = panel.ask("GET", "/healthz")
    assert answer.status_code == 503, "no worker runs here"
    assert answer.json()["parts"]["database"]["ok"]


def test_while_bakery_is_away_a_page_says_that_the_sites_are_not(panel: Panel) -> None:
    panel.nginx.router.panel_port = free_port()
    panel.nginx.router.apply_panel((NAME,))
    try:
        answer = panel.ask("GET", "/deployments/")
    finally:
        panel.nginx.router.panel_port = panel.web.port
        panel.nginx.router.apply_panel((NAME,))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "The sites are not affected" in answer.text
