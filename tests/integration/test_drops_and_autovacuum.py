"""A database is dropped while autovacuum is at it, by a role that may not end autovacuum's workers."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from infrastructure.postgres.swapping import drop
from tests.integration.postgres_hosts import ADMIN, MAJORS, PASSWORD, PostgresHost, PostgresHosts
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
BUSY = {"autovacuum_naptime": "1s", "autovacuum_vacuum_cost_delay": "100ms", "autovacuum_vacuum_cost_limit": "1"}
AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE datname = 'vacuumed' AND backend_type = 'autovacuum worker'"


@pytest.fixture(params=MAJORS)
def host(request: pytest.FixtureRequest, postgres_hosts: PostgresHosts) -> Iterator[PostgresHost]:
    """Whose autovacuum comes often and takes its time."""
    found = postgres_hosts.of(request.param)
    for name, value in BUSY.items():
        found.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    found.sql("SELECT pg_reload_conf()")
    yield found
    for name in BUSY:
        found.sql(f"ALTER SYSTEM RESET {name}")
    found.sql("SELECT pg_reload_conf()")


def test_autovacuum_gives_way(host: PostgresHost) -> None:
    host.sql("CREATE DATABASE vacuumed", url=host.admin)
    inside = host.address("vacuumed", ADMIN, PASSWORD)
    host.sql("CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 200000) i", url=inside)
    host.sql("DELETE FROM t WHERE i % 2 = 0", url=inside)
    with psycopg.connect(inside), psycopg.connect(host.admin, autocommit=True) as admin:
        until(lambda: host.sql(AT_WORK))
        drop(admin, "vacuumed")
    assert "vacuumed" not in host.databases()
