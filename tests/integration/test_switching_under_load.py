"""A switch costs no visitor an answer; the same harness sees the losses of the naive way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.switching.host import PrivateNginx, free_port
from benchmarks.switching.measure import Measured, measure
from benchmarks.switching.ways import Naive, Renamed, Way

pytestmark = pytest.mark.slow


@pytest.fixture
def nginx() -> Iterator[PrivateNginx]:
    with TemporaryDirectory(prefix="bakery-nginx-") as name:
        Path(name).chmod(0o711)
        running = PrivateNginx(Path(name)).start()
        yield running
        running.stop()


def switch_under_load(
    nginx: PrivateNginx, make: Callable[[tuple[int, int]], Way], switches: int, long_seconds: float = 0
) -> Measured:
    ports = free_port(), free_port()
    return asyncio.run(measure(make(ports), nginx.http_port, ports, switches, clients=3, long_seconds=long_seconds))


def test_twenty_switches_lose_no_request_and_what_was_open_finishes(nginx: PrivateNginx) -> None:
    measured = switch_under_load(nginx, lambda ports: Renamed(nginx, ports), 20, long_seconds=3)
    for kind, count in measured.load.counts.items():
        assert count.lost == 0, f"{kind}: {count.reasons}"
        assert count.requests > 20
    assert set(measured.load.last_answer) == {f"v{number}" for number in range(21)}
    assert measured.long_request_finished
    assert measured.websocket_finished


def test_the_harness_sees_what_a_naive_reload_loses(nginx: PrivateNginx) -> None:
    measured = switch_under_load(nginx, lambda ports: Naive(nginx), 3, long_seconds=10)
    assert measured.load.lost > 0
    assert not measured.long_request_finished
    assert not measured.websocket_finished
