"""Who may listen, asserted from the outside for every websocket there is. One that has no row fails the test."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bakery.routing import websocket_urlpatterns
from tests.integration.one_of_everything import Things
from tests.integration.people import VIEWER, alice, by_rank
from tests.integration.web_process import daphne

# route -> the lowest that may
SOCKETS = {
    "ws/events/": VIEWER,
    "ws/streams/<int:stream_id>/": VIEWER,
}


@pytest.mark.django_db(transaction=True)
def test_every_websocket_lets_in_exactly_whom_the_table_says(tmp_path: Path) -> None:
    things, wrong = Things.make(), []
    assert {str(route.pattern) for route in websocket_urlpatterns} == set(SOCKETS)
    with daphne(tmp_path) as web:
        for route, lowest in SOCKETS.items():
            for rank, person in enumerate(by_rank()):
                headers = {"Cookie": web.cookie_of(person)} if person else {}
                opened = _opens(f"{web.ws}{things.path(route, route)}", headers, web.url)
                if opened != (rank >= lowest):
                    wrong.append(f"{route} as {person or 'nobody'}: {'let in' if opened else 'turned away'}")
            assert not _opens(
                f"{web.ws}{things.path(route, route)}", {"Cookie": web.cookie_of(alice())}, "https://elsewhere.example"
            ), "another site's page may not use our cookie"
    assert wrong == []


def _opens(url: str, headers: dict[str, str], origin: str) -> bool:
    try:
        with connect(url, additional_headers=headers, origin=origin, open_timeout=60):  # type: ignore[arg-type]
            return True
    except InvalidStatus as refusal:
        if refusal.response.status_code == 403:
            return False
        raise
