"""Databases made on servers of two major versions, by a role that is no superuser."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from django.conf import settings as django_settings

from databases.models import Database, DatabaseState
from databases.services.connection import url_of
from databases.services.provisioning import create_database
from databases.services.work import work_on
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=MAJORS)
def host(request: pytest.FixtureRequest, postgres_hosts: PostgresHosts, settings: Any) -> PostgresHost:
    found = postgres_hosts.of(request.param)
    settings.BAKERY = dataclasses.replace(django_settings.BAKERY, postgres_admin_url=found.admin)
    return found


def made(name: str, **settings: object) -> Database:
    database = create_database(name, by=None, **settings)  # type: ignore[arg-type]
    work_on(database.pk)
    database.refresh_from_db()
    assert database.state == DatabaseState.READY, database.problem
    return database


def test_a_database_is_made_that_its_application_owns(host: PostgresHost) -> None:
    database = made("orders")
    url = url_of(database).reveal()
    host.sql("CREATE TABLE visits (id serial PRIMARY KEY); INSERT INTO visits DEFAULT VALUES", url=url)
    owner = host.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'visits'", url=url)
    assert owner == [(database.owner_role,)]
