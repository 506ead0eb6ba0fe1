"""Databases on the tests' own PostgreSQL servers: asked for, and the worker's turn taken by the test itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from psycopg.conninfo import conninfo_to_dict

from bakery.models import Task, TaskState
from databases.models import Database, DatabaseState
from databases.services.provisioning import create_database
from databases.services.work import work_on
from infrastructure.secret import Secret
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts


@pytest.fixture(params=MAJORS)
def database_host(request: pytest.FixtureRequest, postgres_hosts: PostgresHosts, settings: Any) -> PostgresHost:
    """Where databases are made, by a role that is no superuser: each test runs on each version."""
    found = postgres_hosts.of(request.param)
    settings.BAKERY = dataclasses.replace(
        django_settings.BAKERY,
        postgres_admin_url=found.admin,
        postgres_admin_url_file=None,
        data_dir=found.home,  # where the embedded version's programs are found
        backups_dir=found.home / "backups",
    )
    return found


def made(name: str, **settings: Any) -> Database:
    database = create_database(name, by=None, **settings)
    done(database.tasks.order_by("pk").last())
    database.refresh_from_db()
    assert database.state == DatabaseState.READY
    return database


def done(task: Task | None) -> Task:
    """The worker's turn is taken; the task succeeded."""
    ended = _worked(task)
    assert ended.state == TaskState.SUCCEEDED, f"{ended.error_id}: {ended.error_message}"
    return ended


def failed(task: Task | None) -> Task:
    ended = _worked(task)
    assert ended.state == TaskState.FAILED, ended.state
    return ended


def _worked(task: Task | None) -> Task:
    assert task and task.database_id
    work_on(task.database_id)
    task.refresh_from_db()
    return task


def parts_of(url: Secret) -> dict[str, Any]:
    return conninfo_to_dict(url.reveal())


def refusal(url: str, query: str) -> str:
    """What PostgreSQL says against it; fails where it lets it happen."""
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(query)  # type: ignore[call-overload]
    except psycopg.Error as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"PostgreSQL let it happen: {query}")


class Killed(BaseException):
    """As kill -9: nothing that follows is done, no error is handled."""


def kill_instead(patched: pytest.MonkeyPatch, module: object, name: str, calls_before: int = 0) -> None:
    real: Callable[..., object] = getattr(module, name)
    calls: list[object] = []

    def dies(*args: object, **named: object) -> object:
        calls.append(args)
        if len(calls) > calls_before:
            raise Killed
        return real(*args, **named)

    patched.setattr(module, name, dies)
