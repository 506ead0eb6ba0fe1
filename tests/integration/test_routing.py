"""What a visitor and the release engine see of a deployment behind a real Nginx."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from infrastructure.nginx.master import accepting_workers
from tests.integration.nginx_host import HOST, Edge, answer_on, received, running_edge
from tests.integration.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def module_edge() -> Iterator[Edge]:
    with running_edge(max_body_mb=1) as edge:
        yield edge


@pytest.fixture
def edge(module_edge: Edge) -> Edge:
    """Blue (release 10) serves and both apps run, whatever the test before did."""
    for release in (module_edge.blue, module_edge.green):
        if release.process is None or release.process.poll() is not None:
            release.start()
    module_edge.router.switch(1, "blue", 10)
    module_edge.router.set_state(1, "shop", "unavailable")
    return module_edge


def test_a_switch_sends_new_requests_to_the_other_slot(edge: Edge) -> None:
    assert edge.ask()[1] == b"blue-app"
    edge.router.switch(1, "green", 11)
    assert edge.ask()[1] == b"green-app"
    assert edge.router.live_slot(1) == "green"


def test_a_connection_that_is_kept_alive_gets_the_new_release_with_its_next_request(edge: Edge) -> None:
    connection = edge.connect()
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    connection.sendall(request)
    received(connection, b"blue-app")
    edge.router.switch(1, "green", 11)
    connection.sendall(request)
    received(connection, b"green-app")
    connection.close()


def test_confirm_names_the_release_that_answers(edge: Edge) -> None:
    assert edge.router.confirm(edge.route, 10, "/")
    assert not edge.router.confirm(edge.route, 11, "/")
    edge.router.switch(1, "green", 11)
    assert edge.router.confirm(edge.route, 11, "/status?code=500")
    assert not edge.router.confirm(edge.route, 10, "/")


def test_confirm_does_not_take_bakerys_own_page_for_the_release(edge: Edge) -> None:
    edge.blue.stop()
    assert not edge.router.confirm(edge.route, 10, "/")


def test_visitors_are_not_told_which_release_answers(edge: Edge) -> None:
    for path in ("/", "/status?code=404"):
        headers = edge.ask(path)[0].headers
        assert [name for name in headers if name.lower().startswith("x-bakery")] == []


def test_the_log_names_the_release_that_answered(edge: Edge) -> None:
    edge.ask("/?before")
    edge.router.switch(1, "green", 11)
    edge.ask("/?after", User_Agent='quo"te\\')
    [before], [after] = (
        until(lambda uri=uri: edge.log_lines(uri=uri))
        for uri in ("/?before", "/?after")  # of two workers, maybe
    )
    assert (before["deployment"], before["release"], before["slot"]) == ("1", "10", "blue")
    assert (after["deployment"], after["release"], after["slot"]) == ("1", "11", "green")
    assert (after["status"], after["method"], after["host"]) == (200, "GET", HOST)
    assert after["user_agent"] == 'quo"te\\'
    assert float(str(after["upstream_response_time"])) >= 0


def test_bakerys_own_checks_leave_no_line_in_the_log(edge: Edge) -> None:
    edge.router.confirm(edge.route, 10, "/?confirming")
    edge.ask("/?counted")
    until(lambda: len(edge.log_lines(uri="/?counted")) == 1)
    assert edge.log_lines(uri="/?confirming") == []


def test_a_long_request_and_a_websocket_finish_on_the_release_that_they_began_on(edge: Edge) -> None:
    slow = edge.open("/slow?seconds=10", Connection="close")  # longer than the switch, on any machine
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    websocket = edge.open("/socket", **upgrade)
    head = received(websocket, b"\r\n\r\n")
    assert b" 101 " in head
    assert b"X-App: blue-app" in head
    edge.wait_for_open("blue", 2)
    edge.router.switch(1, "green", 11)
    assert edge.ask()[1] == b"green-app"
    assert edge.router.connections(1, "blue") == 2
    websocket.sendall(b"still there?")
    assert websocket.recv(65536) == b"still there?"
    assert answer_on(slow)[1] == b"blue-app"
    edge.wait_for_open("blue", 1)
    websocket.close()
    edge.wait_for_open("blue", 0)


def test_a_connection_is_seen_from_the_moment_of_connect(edge: Edge) -> None:
    """Also while no worker has accepted it: a stopped Nginx leaves it in the backlog."""
    pid = edge.router.master.pid()
    assert pid
    workers = accepting_workers(pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        until(lambda: {psutil.Process(worker).status() for worker in workers} == {psutil.STATUS_STOPPED})
        before = edge.router.connections(1, "blue")
        with socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(edge.router.prefix.live(1)))
            assert edge.router.connections(1, "blue") == before + 1
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    edge.wait_for_open("blue", 0)


def test_events_arrive_as_they_are_sent(edge: Edge) -> None:
    for path in ("/events", "/events?plain=1"):
        connection = edge.open(path)
        received(connection, b"data: 1")
        connection.close()
    edge.wait_for_open("blue", 0)


def test_what_a_visitor_claims_about_itself_is_replaced(edge: Edge) -> None:
    claims = {
        "X_Forwarded_For": "1.2.3.4",
        "X_Real_IP": "1.2.3.4",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "evil",
        "Forwarded": "for=1.2.3.4",
        "X_Bakery_Deployment": "2",
        "Upgrade": "h2c",
    }
    _, head = edge.ask("/headers", host=f"{HOST}:8080", **claims)
    seen = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert seen["X-Forwarded-For"] == seen["X-Real-IP"] == "127.0.0.1"
    assert seen["X-Forwarded-Proto"] == "http"
    assert seen["Host"] == seen["X-Forwarded-Host"] == f"{HOST}:8080"
    assert len(seen["X-Request-ID"]) == 32
    assert not {"Forwarded", "X-Bakery-Deployment", "Upgrade"} & set(seen)


def test_a_path_reaches_the_app_as_it_was_asked(edge: Edge) -> None:
    _, head = edge.ask("/headers?a=%2F&b=//x%20y")
    assert head.startswith(b"GET /headers?a=%2F&b=//x%20y HTTP/1.1")


def test_a_body_over_the_limit_is_refused_and_one_below_it_arrives(edge: Edge) -> None:
    assert edge.ask(method="POST", body=b"x" * 900_000)[1] == b"blue-app 900000"
    assert edge.ask(method="POST", body=b"x" * 1_100_000)[0].status == 413


def test_big_headers_pass_in_both_directions(edge: Edge) -> None:
    response, body = edge.ask("/big-header?bytes=20000", Cookie="c" * 20000)
    assert response.status == 200
    assert len(response.headers["X-Big"]) == 20000
    assert body == b"blue-app"


def test_an_app_that_died_is_told_in_words_with_the_deployments_state(edge: Edge) -> None:
    edge.router.set_state(1, "shop <&>", "crashed")
    edge.blue.stop()
    for method in ("GET", "POST"):
        response, body = edge.ask(method=method, body=b"x" if method == "POST" else b"")
        assert response.status == 502
        assert b"ended and could not be kept running" in body
        assert b"shop &lt;&amp;&gt;" in body
        assert response.headers["Cache-Control"] == "no-store"


def test_an_app_that_is_too_slow_is_told_apart_from_one_that_is_down(edge: Edge) -> None:
    edge.router.apply([replace(edge.route, request_timeout=1)])
    try:
        response, body = edge.ask("/slow?seconds=30")
    finally:
        edge.router.apply([edge.route])
    assert response.status == 504
    assert b"took too long" in body


def test_an_apps_own_errors_stay_its_own(edge: Edge) -> None:
    for code in (404, 500, 502, 503):
        response, body = edge.ask(f"/status?code={code}")
        assert (response.status, body) == (code, b"blue-app")


def test_a_deployment_that_is_not_to_run_answers_with_its_page(edge: Edge) -> None:
    edge.router.set_state(1, "shop", "stopped")
    edge.router.unroute(1)
    assert edge.router.live_slot(1) is None
    for method in ("GET", "POST", "DELETE"):
        response, body = edge.ask(method=method)
        assert response.status == 503
        assert b"was stopped" in body


def test_an_unknown_host_is_refused_by_name(edge: Edge) -> None:
    response, body = edge.ask(host="somebody-else.localhost")
    assert response.status == 404
    assert b"No deployment on this server has this name" in body


def test_bakerys_pages_have_no_address_of_their_own(edge: Edge) -> None:
    assert edge.ask("/.bakery-page/502.html")[0].status == 404
    assert edge.ask("/.bakery-page/unknown.html", host="nobody.localhost")[0].status == 404


def test_the_log_is_one_json_object_per_line(edge: Edge) -> None:
    edge.ask('/?"quoted"\\back', Referer="tab\there")
    until(lambda: len(edge.log_lines(referer="tab\there")) == 1)
    assert all(isinstance(line["ts"], float) for line in edge.log_lines())
