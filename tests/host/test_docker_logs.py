"""The log of a real container, read through the engine."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from deployments.logs.containers import ContainerTail
from tests.host.docker_engine import DockerEngine, busybox_image
from tests.integration.waiting import until

IMAGE = "bakery-test-busybox"


@pytest.fixture(scope="module")
def client(docker_engine: DockerEngine) -> Iterator[Any]:
    engine = docker.from_env(timeout=30)
    yield engine
    engine.close()


@pytest.fixture
def run(client: Any, busybox: str) -> Iterator[Any]:
    started: list[Any] = []

    def start(script: str, release_id: int = 7) -> Any:
        name = f"bakery-test-{uuid.uuid4().hex[:10]}"
        labels = {"bakery.release": str(release_id)}
        argv = ["/bin/busybox", "sh", "-c", script]
        started.append(client.containers.run(busybox, argv, name=name, labels=labels, detach=True, network_mode="none"))
        return started[-1]

    yield start
    for container in started:
        container.remove(force=True)


@pytest.fixture(scope="module")
def busybox(client: Any) -> str:
    busybox_image(IMAGE)
    return f"{IMAGE}:latest"


def read_until(tail: ContainerTail, ending: bytes) -> tuple[bytes, dict[str, object]]:
    """What came up to ``ending``, and the cursor behind it."""
    data, cursor = bytearray(), {}

    def look() -> bool:
        nonlocal cursor
        piece = tail.read(4096)
        if piece:
            data.extend(piece.data)
            cursor = piece.cursor or cursor
        return data.endswith(ending)

    until(look)
    return bytes(data), cursor


def test_a_restarted_reader_goes_on_behind_its_cursor(client: Any, run: Any) -> None:
    container = run("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; sleep 1; echo last; sleep 60")
    first = ContainerTail(client, container.name, 7, {})
    whole = bytearray()
    cursor: dict[str, object] = {}

    def look() -> bool:
        nonlocal cursor
        piece = first.read(3000)
        if piece:
            whole.extend(piece.data)
            cursor = piece.cursor or cursor
        return len(whole) > 12_000

    until(look)
    first.close()
    second = ContainerTail(client, container.name, 7, cursor)
    rest, _ = read_until(second, b"last\n")
    second.close()
    assert bytes(whole) + rest == b"".join(b"line %d\n" % number for number in range(3000)) + b"last\n"


def test_lines_of_another_release_in_the_same_slot_are_left_alone(client: Any, run: Any) -> None:
    container = run("echo not mine; sleep 60", release_id=8)
    tail = ContainerTail(client, container.name, 7, {})
    until(lambda: b"not mine" in container.logs())
    assert tail.read(4096) is None
    tail.close()
