"""Changing what Nginx serves: all or nothing, seen to be in force, and never at the cost of another site."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infrastructure.errors import HostProblem
from infrastructure.nginx import config
from infrastructure.nginx.config import generation_config
from infrastructure.nginx.hand_edits import edited
from infrastructure.nginx.master import accepting_workers
from infrastructure.routing import Host, Route
from tests.integration.nginx_host import Edge, answer_on, received, running_edge
from tests.integration.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def edge() -> Iterator[Edge]:
    with running_edge() as running:
        yield running


def site_files(edge: Edge) -> dict[str, str]:
    return {path.name: path.read_text() for path in edge.router.prefix.sites.iterdir()}


def test_a_change_is_in_force_when_apply_returns(edge: Edge) -> None:
    edge.router.apply([replace(edge.route, hosts=(Host("shop.localhost"), Host("shop.example.org")))])
    assert edge.ask(host="shop.example.org")[1] == b"blue-app"
    assert edge.router.live_slot(1) == "blue"


def test_nothing_changed_means_no_reload(edge: Edge) -> None:
    pid = edge.router.master.pid()
    assert pid
    workers, generation = accepting_workers(pid), edge.router.master.generation()
    edge.router.apply([edge.route])
    assert (accepting_workers(pid), edge.router.master.generation()) == (workers, generation)


def test_an_app_that_moves_to_another_address_is_reached_there_without_a_reload(edge: Edge) -> None:
    """As when an application gets a Dockerfile: a reload would close the connections that visitors keep alive."""
    pid = edge.router.master.pid()
    assert pid
    workers, generation = accepting_workers(pid), edge.router.master.generation()
    with edge.connect() as kept:
        request = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"
        kept.sendall(request)
        received(kept, b"blue-app")
        edge.router.apply([replace(edge.route, blue_upstream=edge.green.upstream)])
        kept.sendall(request)
        received(kept, b"green-app")
    assert (accepting_workers(pid), edge.router.master.generation()) == (workers, generation)
    assert edge.router.confirm(edge.route, 10, "/")
    edge.router.apply([replace(edge.route, blue_upstream=edge.green.upstream, max_body_mb=3)])
    assert edge.ask()[1] == b"green-app"


def test_a_change_that_was_written_but_never_applied_is_applied_by_the_next_call(edge: Edge) -> None:
    """As after a kill -9 of the worker between the rename and the reload."""
    running = edge.router.master.generation()
    assert running
    wider = replace(edge.route, hosts=(Host("shop.localhost"), Host("late.localhost")))
    path = edge.router.prefix.site(1)
    path.write_text(
        config.site_config(edge.router.prefix, wider, logs=edge.router.logs_dir, listening=edge.router.listening())
    )
    edge.router.prefix.generation.write_text(generation_config(running + 1))
    edge.router.apply([wider])
    assert edge.ask(host="late.localhost")[1] == b"blue-app"


def test_a_file_that_nginx_refuses_is_not_put_in_place_and_the_others_serve(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = site_files(edge)
    broken = lambda *args, **options: "server { no_such_directive on; }\n"  # noqa: E731
    monkeypatch.setattr(config, "site_config", broken)
    with pytest.raises(HostProblem, match="no_such_directive") as caught:
        edge.router.apply([replace(edge.route, deployment_id=2)])
    assert caught.value.id == "nginx.refused"
    assert site_files(edge) == before
    assert edge.ask()[1] == b"blue-app"
    monkeypatch.undo()
    edge.router.apply([replace(edge.route, deployment_id=2, hosts=(Host("other.localhost"),))])
    assert edge.ask(host="other.localhost")[0].status == 503


def test_a_configuration_that_passes_the_test_and_is_not_applied_is_put_back(edge: Edge) -> None:
    """Another program has the port that the new configuration listens on: ``nginx -t`` does not mind, a reload does."""
    before = site_files(edge)
    with edge.connect() as taken:
        port = taken.getsockname()[1]
        text = before["1.conf"] + f"server {{ listen 127.0.0.1:{port}; }}\n"
        with edge.router.applier.lock(), pytest.raises(HostProblem, match="bind") as caught:
            edge.router.applier.replace({edge.router.prefix.site(1): text})
    assert caught.value.id == "nginx.not-applied"
    assert site_files(edge) == before
    assert edge.ask()[1] == b"blue-app"
    edge.router.apply([edge.route])  # what failed is not in the way of the next change
    assert edge.ask()[1] == b"blue-app"


def test_three_hundred_sites_are_really_applied(edge: Edge) -> None:
    """With log files of their own some 255 would already be dropped without a word."""
    upstream = edge.blue.upstream
    long = "a" * 60
    routes = [Route(n, f"app-{n}", (Host(f"app-{n}.{long}.localhost"),), upstream, upstream) for n in range(2, 302)]
    edge.router.apply(routes)
    for number in (2, 301):
        edge.router.switch(number, "green", 5)
        assert edge.ask(host=f"app-{number}.{long}.localhost")[1] == b"blue-app"
        assert edge.router.confirm(routes[number - 2], 5, "/")
    edge.router.remove(301)
    assert edge.ask(host=f"app-301.{long}.localhost")[0].status == 404
    assert not edge.router.prefix.of(301).exists()
    assert edge.ask()[1] == b"blue-app"


def test_two_workers_that_apply_at_once_both_succeed(edge: Edge) -> None:
    problems: list[BaseException] = []

    def add(number: int) -> None:
        try:
            edge.router.apply([replace(edge.route, deployment_id=number, hosts=(Host(f"app-{number}.localhost"),))])
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=add, args=(number,)) for number in (2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert [edge.ask(host=f"app-{number}.localhost")[0].status for number in (2, 3, 4)] == [503, 503, 503]


def test_a_removed_deployment_is_unknown_and_may_be_removed_again(edge: Edge) -> None:
    edge.router.remove(1)
    edge.router.remove(1)
    assert edge.ask()[0].status == 404
    assert edge.router.live_slot(1) is None


def test_nginx_starts_again_after_a_kill_and_its_orphans_finish_what_they_began(edge: Edge) -> None:
    slow = edge.open("/slow?seconds=10", Connection="close")  # still open when all of the below is done
    edge.wait_for_open("blue", 1)
    process = edge.nginx.process
    assert process
    process.kill()
    process.wait(60)
    assert edge.ask()[1] == b"blue-app"  # the workers serve on
    with pytest.raises(HostProblem, match="not running"):
        edge.router.apply([replace(edge.route, max_body_mb=2)])
    edge.nginx.start()
    assert edge.ask()[1] == b"blue-app"
    assert edge.router.live_slot(1) == "blue"
    assert edge.router.confirm(edge.route, 10, "/")
    edge.router.switch(1, "green", 11)
    assert answer_on(slow)[1] == b"blue-app"


def test_a_second_nginx_of_the_same_prefix_does_not_take_the_first_ones_sockets(edge: Edge) -> None:
    prefix = edge.router.prefix
    argv = [
        sys.executable,
        "-m",
        "infrastructure.nginx.start",
        edge.nginx.binary,
        str(prefix.root),
        str(prefix.configuration),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "already runs" in done.stderr
    assert edge.ask()[1] == b"blue-app"


def test_everything_goes_on_after_a_stop_and_a_start(edge: Edge) -> None:
    edge.nginx.stop()
    with pytest.raises(ConnectionRefusedError):
        edge.ask()
    edge.nginx.start()
    assert edge.ask()[1] == b"blue-app"


def test_an_old_worker_that_a_websocket_keeps_is_not_waited_for(edge: Edge) -> None:
    websocket = edge.open(
        "/socket", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ=="
    )
    assert b" 101 " in received(websocket, b"\r\n\r\n")
    edge.router.apply([replace(edge.route, max_body_mb=3)])
    edge.wait_for_open("blue", 1)
    websocket.sendall(b"ping")
    assert websocket.recv(100) == b"ping"
    websocket.close()
    edge.wait_for_open("blue", 0)


def test_only_nginx_and_bakery_reach_the_sockets(edge: Edge) -> None:
    prefix = edge.router.prefix
    assert prefix.control.stat().st_mode & 0o777 == 0o700
    assert prefix.run.stat().st_mode & 0o777 == 0o710
    if os.geteuid() != 0:
        pytest.skip("another account's rights are tried as root")
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(299_999)
        os.setuid(299_999)
        try:
            socket.socket(socket.AF_UNIX).connect(str(prefix.live(1)))
        except PermissionError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_workers_that_die_are_replaced_without_a_word_from_us(edge: Edge) -> None:
    pid = edge.router.master.pid()
    assert pid
    before = accepting_workers(pid)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    until(lambda: len(accepting_workers(pid) - before) == len(before))
    assert edge.ask()[1] == b"blue-app"


def test_files_are_written_for_whoever_has_to_read_them(edge: Edge) -> None:
    """Whatever the umask of the worker that wrote them."""
    before = os.umask(0o077)
    try:
        edge.router.apply([replace(edge.route, deployment_id=2, hosts=(Host("two.localhost"),))])
        edge.router.set_state(2, "two", "stopped")
        edge.router.switch(2, "blue", 4)
        edge.router.unroute(2)
    finally:
        os.umask(before)
    response, body = edge.ask(host="two.localhost")
    assert response.status == 503
    assert b"was stopped" in body
    assert Path(edge.router.prefix.live(2)).is_symlink()


def test_a_file_that_was_edited_by_hand_is_put_back_with_the_next_change_and_the_edit_kept(edge: Edge) -> None:
    """Even one that Nginx would refuse, and one that was removed: no other site has to wait for it."""
    two = replace(edge.route, deployment_id=2, hosts=(Host("two.localhost"),))
    edge.router.apply([two])
    path, own = edge.router.prefix.site(1), edge.router.prefix.site(1).read_text()
    for theirs in (f"{own}\nno_such_directive on;\n", own.replace("shop.localhost", "mine.localhost"), None):
        path.unlink() if theirs is None else path.write_text(theirs)
        assert list(edited(edge.router.prefix)) == [path]
        two = replace(two, max_body_mb=two.max_body_mb + 1)
        edge.router.apply([two])
        assert path.read_text() == own
        assert theirs is None or (edge.router.prefix.written / "1.conf.edited").read_text() == theirs
        assert edge.ask()[1] == b"blue-app"
    assert edited(edge.router.prefix) == {}


def test_a_file_of_somebody_elses_among_the_sites_is_named_when_it_is_in_the_way(edge: Edge) -> None:
    strange = edge.router.prefix.sites / "mine.conf"
    strange.write_text("no_such_directive on;\n")
    with pytest.raises(HostProblem, match="is not as Bakery writes it") as caught:
        edge.router.apply([replace(edge.route, max_body_mb=3)])
    assert str(strange) in caught.value.hint
    assert edge.ask()[1] == b"blue-app"
