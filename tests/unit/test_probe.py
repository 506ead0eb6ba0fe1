"""The probe against small servers of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deployments.services.probe import probe
from infrastructure.errors import Cancelled, Problem
from infrastructure.runtime import Observation, ProcessState

RUNNING = Observation(ProcessState.RUNNING, started_at="1")


@contextmanager
def answering(*statuses: int) -> Iterator[str]:
    """A server that gives the statuses one after the other, the last one for ever; yields ``host:port``."""
    left = list(statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(left.pop(0) if len(left) > 1 else left[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    with socket.socket() as sock:  # bound, so that nobody else listens there; and not listening
        sock.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{sock.getsockname()[1]}"


def go(upstream: str, path: str = "/", timeout: float = 60.0, seen: Observation = RUNNING) -> None:
    probe(upstream, path, "app.localhost", timeout, lambda: seen, lambda: None)


def test_a_healthy_app_passes() -> None:
    with answering(200) as upstream:
        go(upstream)


def test_a_redirect_is_an_answer() -> None:
    with answering(302) as upstream:
        go(upstream)


def test_good_answers_have_to_come_in_a_row() -> None:
    with answering(200, 200, 500, 200) as upstream:
        go(upstream)


def test_an_open_port_is_enough_without_a_path() -> None:
    with answering(500) as upstream:
        go(upstream, path="")


def test_an_unhealthy_app_is_failed_with_its_status() -> None:
    with answering(500) as upstream, pytest.raises(Problem) as problem:
        go(upstream, timeout=3)  # it has to be heard before
    assert problem.value.id == "app.unhealthy"
    assert "500" in problem.value.message


def test_an_app_that_never_listens_is_told_about_its_port(silent: str) -> None:
    with pytest.raises(Problem) as problem:
        go(silent, timeout=0.5)
    assert problem.value.id == "app.never-listened"
    assert silent.split(":")[1] in problem.value.message


def test_an_app_that_ended_is_not_waited_for(silent: str) -> None:
    with pytest.raises(Problem) as problem:
        go(silent, timeout=60, seen=Observation(ProcessState.EXITED, exit_code=3))
    assert problem.value.id == "app.exited"
    assert "code 3" in problem.value.message


def test_an_app_that_filled_its_memory_is_told_so(silent: str) -> None:
    with pytest.raises(Problem) as problem:
        go(silent, timeout=60, seen=Observation(ProcessState.EXITED, exit_code=-9, out_of_memory=True))
    assert problem.value.id == "app.out-of-memory"


def test_somebody_else_answering_on_the_port_of_a_dead_app_does_not_pass() -> None:
    with answering(200) as upstream, pytest.raises(Problem) as problem:
        go(upstream, seen=Observation(ProcessState.EXITED, exit_code=1))
    assert problem.value.id == "app.exited"


def test_a_cancel_ends_the_waiting(silent: str) -> None:
    def cancelled() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        probe(silent, "/", "app.localhost", 60, lambda: RUNNING, cancelled)
