"""A log as a browser gets it: Daphne, Redis and PostgreSQL are real."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from django.contrib.sessions.models import Session
from django.db import connection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from bakery.roles import Role
from deployments.logs.writer import LogWriter
from deployments.models import LogStream
from tests.integration.log_makers import fill, make_stream, make_user, text_of
from tests.integration.waiting import until
from tests.integration.web_process import Web, daphne

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[Web]:
    with django_db_blocker.unblock(), daphne(tmp_path_factory.mktemp("web")) as web:
        yield web


class Viewer:
    """What the browser does: keeps text by line number, acknowledges, comes back with its last seq."""

    def __init__(self, web: Web, stream: LogStream, cookie: str) -> None:
        self.web, self.stream, self.cookie = web, stream, cookie
        self.last_seq = 0
        self.text: list[str] = []
        self.lines = 0
        self.gaps: list[dict[str, Any]] = []
        self.ended = False

    def connect(self) -> ClientConnection:
        return connect(
            f"{self.web.ws}/ws/streams/{self.stream.pk}/?after={self.last_seq}",
            origin=self.web.url,  # type: ignore[arg-type]
            additional_headers={"Cookie": self.cookie},
            max_size=None,
            open_timeout=60,
        )

    def read(self, socket: ClientConnection, frames: int = 10**9) -> None:
        """So many frames, or up to the end."""
        for _ in range(frames):
            frame = json.loads(socket.recv(timeout=60))
            if frame["type"] == "chunk":
                assert frame["first_line"] == self.lines
                assert frame["seq"] > self.last_seq
                self.last_seq = frame["seq"]
                self.lines += frame["line_count"]
                self.text.append(frame["text"])
                socket.send(json.dumps({"type": "ack", "seq": frame["seq"]}))
            elif frame["type"] == "gap":
                assert frame["first_line"] == self.lines
                self.gaps.append(frame)
                self.lines += frame["line_count"]
            elif frame["type"] == "end":
                self.ended = True
                return


def viewer(web: Web, stream: LogStream) -> Viewer:
    return Viewer(web, stream, web.cookie_of(make_user()))


def test_a_viewer_gets_every_line_and_is_told_the_end(web: Web) -> None:
    stream = make_stream()
    with LogWriter(stream) as log:
        log.write(b"first\n")
        alice = viewer(web, stream)
        with alice.connect() as socket:
            alice.read(socket, 1)
            log.write(b"second\n")
            alice.read(socket, 1)
            log.close()
            alice.read(socket)
    assert "".join(alice.text) == "first\nsecond\n"
    assert alice.ended


def test_300_000_lines_come_whole_and_in_order_across_random_reconnects(web: Web) -> None:
    stream = make_stream()
    fill(stream, 150_000)
    alice = viewer(web, stream)

    def write_the_rest() -> None:
        with LogWriter(stream) as log:
            for start in range(150_000, 300_000, 1000):
                lines = (f"line {n:06d} of an application that says something\n" for n in range(start, start + 1000))
                log.write("".join(lines).encode())
        connection.close()

    writing = threading.Thread(target=write_the_rest)
    writing.start()
    reconnects = 0
    while not alice.ended:
        with alice.connect() as socket:
            alice.read(socket, random.randint(1, 120))
            if not alice.ended:
                reconnects += 1
                if random.random() < 0.5:
                    socket.socket.close()  # without a goodbye
    writing.join()
    assert reconnects > 3
    assert alice.lines == 300_000
    assert not alice.gaps
    assert "".join(alice.text) == text_of(stream)


def test_at_most_eight_frames_are_under_way_until_the_viewer_acknowledges(web: Web) -> None:
    stream = make_stream()
    fill(stream, 20_000, step=500)
    alice = viewer(web, stream)
    with alice.connect() as socket:
        seqs = [json.loads(socket.recv(timeout=60))["seq"] for _ in range(8)]
        with pytest.raises(TimeoutError):
            socket.recv(timeout=3)
        socket.send(json.dumps({"type": "ack", "seq": seqs[-1]}))
        assert json.loads(socket.recv(timeout=60))["seq"] == 9


def test_lines_that_are_no_longer_stored_are_said_to_be_missing(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.logs import store

    monkeypatch.setattr(store, "HEAD_BYTES", 50_000)
    monkeypatch.setattr(store, "TAIL_BYTES", 100_000)
    monkeypatch.setattr(store, "TRIM_STEP", 10_000)
    stream = make_stream()
    fill(stream, 20_000, step=500)
    store.StreamStore(stream.pk).end()
    alice = viewer(web, stream)
    with alice.connect() as socket:
        alice.read(socket)
    stream.refresh_from_db()
    assert [gap["line_count"] for gap in alice.gaps] == [stream.cut_lines]
    assert alice.lines == 20_000


def test_strangers_other_sites_and_unknown_logs_are_turned_away(web: Web) -> None:
    stream = make_stream()
    cookie = web.cookie_of(make_user())
    cases = [
        (stream.pk, web.url, ""),
        (stream.pk, "http://evil.example", cookie),
        (stream.pk, f"http://127.0.0.1:{web.port + 1}", cookie),  # an application on the same host
        (stream.pk, None, cookie),
        (stream.pk + 1000, web.url, cookie),
    ]
    for pk, origin, sent_cookie in cases:
        with pytest.raises(InvalidStatus) as refused:
            connect(
                f"{web.ws}/ws/streams/{pk}/",
                origin=origin,  # type: ignore[arg-type]
                additional_headers={"Cookie": sent_cookie},
                open_timeout=60,
            )
        assert refused.value.response.status_code == 403


def test_who_signs_out_elsewhere_is_cut_off(web: Web) -> None:
    stream = make_stream()
    alice = viewer(web, stream)
    with alice.connect() as socket:
        Session.objects.all().delete()
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403


def test_ranges_search_and_download_over_http(web: Web) -> None:
    stream = make_stream()
    fill(stream, 12_000, step=777)
    headers = {"Cookie": web.cookie_of(make_user(Role.VIEWER))}

    def get(path: str) -> requests.Response:
        response = requests.get(f"{web.url}/streams/{stream.pk}/{path}", headers=headers, timeout=60)
        response.raise_for_status()
        return response

    middle = get("lines?from=5000&count=3").json()
    text = "".join(piece["text"] for piece in middle["pieces"])
    assert [line[:11] for line in text.split("\n")] == ["line 005000", "line 005001", "line 005002", ""]
    assert (middle["total"], middle["pieces"][0]["first_line"], middle["ended"]) == (12_000, 5000, False)
    last = get("lines?from=-1&count=10").json()
    assert last["pieces"][0]["text"].startswith("line 011999")
    assert get("search?q=LINE+00777").json()["lines"] == [*range(7770, 7780)]
    assert get("search?q=line+00777&from=7775").json()["lines"] == [*range(7775, 7780)]
    many = get("search?q=application").json()
    assert (len(many["lines"]), many["more"], many["next"]) == (2000, True, 2000)
    raw = get("raw")
    assert raw.text == text_of(stream)
    assert raw.headers["Content-Disposition"].endswith('-process.log"')
    until(
        lambda: (
            requests.get(f"{web.url}/streams/{stream.pk}/lines?from=x", headers=headers, timeout=60).status_code == 400
        )
    )
