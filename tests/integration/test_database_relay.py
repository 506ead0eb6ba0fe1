"""The program that carries containers' connections to PostgreSQL, as a process of its own, before the real server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.postgres import relay
from tests.instance import Instance
from tests.integration.waiting import until
from tests.plan import free_port

ANYBODY = "127.0.0.0/8"


@contextmanager
def relaying(listen: str, target: str, allowed: str = ANYBODY) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-I", "-S", relay.__file__, listen, target, allowed])
    try:
        host, port = relay.address(listen)
        if host == "127.0.0.1":
            until(lambda: _listens(port))
        yield
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(30) == 0


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_client_works_with_postgresql_through_it(instance: Instance) -> None:
    url, port = instance.env["DATABASE_URL"], free_port()
    target = conninfo_to_dict(url)
    with relaying(f"127.0.0.1:{port}", f"127.0.0.1:{target['port']}"):
        through = make_conninfo(url, port=str(port))
        with psycopg.connect(through) as first, psycopg.connect(through) as second:
            first.execute("CREATE TEMP TABLE big (line text)")
            with first.cursor().copy("COPY big FROM STDIN") as copy:
                for _ in range(2000):
                    copy.write(b"x" * 1000 + b"\n")
            assert first.execute("SELECT sum(length(line)) FROM big").fetchone() == (2_000_000,)
            assert second.execute("SELECT 1").fetchone() == (1,)
            assert len(first.execute("SELECT repeat('y', 3000000)").fetchone()[0]) == 3_000_000  # type: ignore[index]


def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = free_port()
        with relaying(f"127.0.0.1:{port}", f"127.0.0.1:{server.getsockname()[1]}"):
            server.accept()[0].close()  # the look whether it listens
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(b"a question")
                client.shutdown(socket.SHUT_WR)
                served, _ = server.accept()
                with served:
                    served.settimeout(30)
                    assert _read_all(served) == b"a question"
                    served.sendall(b"an answer after the end")
                assert _read_all(client) == b"an answer after the end"


def _read_all(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
    return found


def test_who_is_not_on_the_bridge_is_not_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = free_port()
        with relaying(f"127.0.0.1:{port}", f"127.0.0.1:{server.getsockname()[1]}", "10.207.0.0/16"):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                assert client.recv(1) == b""
            server.settimeout(0.2)
            with pytest.raises(TimeoutError):
                server.accept()


def test_a_server_that_is_away_ends_the_connection_and_not_the_relay() -> None:
    port = free_port()
    with relaying(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"):
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                assert client.recv(1) == b""


@pytest.mark.skipif(os.name != "posix", reason="IP_FREEBIND is Linux's")
def test_it_listens_at_an_address_that_is_not_there_yet() -> None:
    with relay.listening(("10.254.253.1", free_port())) as waiting:
        assert waiting.getsockname()[0] == "10.254.253.1"
