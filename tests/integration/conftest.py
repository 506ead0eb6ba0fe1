from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.instance import Instance
from tests.integration.apps import AppRepository, Files
from tests.integration.driving import Driven
from tests.integration.gates import Gates
from tests.integration.postgres_hosts import PostgresHosts

_numbers = itertools.count(1)
MakeApp = Callable[..., Driven]


@pytest.fixture
def make_app(instance: Instance, tmp_path: Path) -> Iterator[MakeApp]:
    """``make_app(files, *arguments, **settings)``: a repository and its deployment, not yet deployed."""
    made: list[Driven] = []

    def make(files: Files, *arguments: str, **settings: object) -> Driven:
        name = f"app-{next(_numbers)}"
        driven = Driven(instance, name, AppRepository(tmp_path / name, files)).create(*arguments, **settings)
        made.append(driven)
        return driven

    yield make
    for driven in made:
        instance.manage("delete_deployment", driven.name, "--yes", "--no-wait", check=False)


@pytest.fixture
def gates() -> Iterator[Gates]:
    held = Gates()
    try:
        yield held
    finally:
        held.close()


@pytest.fixture(scope="session")
def postgres_hosts() -> Iterator[PostgresHosts]:
    """PostgreSQL servers beside the instance's own."""
    hosts = PostgresHosts()
    try:
        yield hosts
    finally:
        hosts.stop()
