from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.plan import plan_instance

OPTIONS = plan_instance()  # before anything imports Django's settings

from django.conf import settings  # noqa: E402

from tests.instance import EMAIL, PASSWORD, Instance  # noqa: E402

assert settings.DATABASES  # read now: pytest-django configures itself only when they are


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """A whole running Bakery of the test session's own; started by the first test that asks for it."""
    running = Instance(OPTIONS)
    try:
        running.start()
        running.manage("create_admin", EMAIL, "-", "--reset", stdin=f"{PASSWORD}\n")
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """What a test ignores would be ignored by every process that later ones start."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.fixture(scope="session")
def django_db_modify_db_settings(instance: Instance) -> None:
    """Tests with a database use the instance's PostgreSQL, in a database of their own."""
