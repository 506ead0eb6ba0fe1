"""What the doctor says of databases, and what a server without a role for them says."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.doctor.databases import database_findings
from bakery.doctor.finding import Finding, Verdict
from databases.models import Database, DatabaseState
from databases.services.provisioning import create_database
from databases.services.work import work_on
from tests.integration.postgres_hosts import ADMIN, MAJORS, PASSWORD, PostgresHost, PostgresHosts

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def host(postgres_hosts: PostgresHosts, settings: Any) -> PostgresHost:
    found = postgres_hosts.of(MAJORS[0])
    settings.BAKERY = replace(
        settings.BAKERY, postgres_admin_url=found.admin, postgres_admin_url_file=None, docker_subnet="127.9.0.0/16"
    )
    return found


def look(settings: Any, *, docker: bool = False, **changes: object) -> dict[str, Finding]:
    settings.BAKERY = replace(settings.BAKERY, **changes)
    return {found.subject: found for found in database_findings(settings.BAKERY, docker=docker)}


def test_on_a_host_with_all_of_it_nothing_is_wrong(host: PostgresHost, settings: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.9.0.1", host.port)):
        found = look(settings, docker=True, backups_dir=tmp_path)
    assert {one.verdict for one in found.values()} <= {Verdict.OK, Verdict.WARNING}
    assert found["Databases"].detail == "are made as bakery_admin"
    assert found["pg_dump"].version == str(host.major)
    assert found["Databases for containers"].verdict is Verdict.OK
    assert str(tmp_path) in found["Backups"].detail


def test_containers_without_a_way_to_the_databases_are_told_of(host: PostgresHost, settings: Any) -> None:
    found = look(settings, docker=True)["Databases for containers"]
    assert found.verdict is Verdict.WARNING
    assert f"127.9.0.1:{host.port}" in found.detail
    assert "Databases for containers" not in look(settings, docker=False)


def test_backups_that_everybody_may_read_are_wrong_on_a_server(
    host: PostgresHost, settings: Any, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    found = look(settings, backups_dir=tmp_path, processes="systemd")["Backups"]
    assert (found.verdict, found.mend) == (Verdict.WRONG, f"chmod 2750 {tmp_path}")


def test_a_server_that_asks_for_no_password_is_warned_of(host: PostgresHost, settings: Any) -> None:
    configuration = host.home / "data" / "pg_hba.conf"
    before = configuration.read_text()
    try:
        configuration.write_text(f"host all {ADMIN} 127.0.0.1/32 trust\n{before}")
        host.stop()
        host.start()
        assert "without a password" in look(settings)["Databases"].detail
    finally:
        configuration.write_text(before)
        host.stop()
        host.start()
    assert look(settings)["Databases"].verdict is Verdict.OK


def test_a_server_of_before_there_were_databases_says_what_makes_them_possible(
    host: PostgresHost, settings: Any
) -> None:
    """Its role may make databases, for updates, and no roles; an update makes no accounts."""
    host.sql(f"CREATE ROLE bakery LOGIN CREATEDB PASSWORD '{PASSWORD}'")
    try:
        settings.BAKERY = replace(
            settings.BAKERY,
            database_url=host.address("postgres", "bakery", PASSWORD),
            postgres_admin_url="",
            install_dir=Path("/opt/bakery"),
        )
        found = look(settings)["Databases"]
        assert found.verdict is Verdict.WARNING, "nothing else is wrong with that server"
        assert "/opt/bakery/current/infrastructure/scripts/install.sh" in found.mend
        database = create_database("orders", by=None)
        work_on(database.pk)
        task = database.tasks.get()
        assert (task.state, task.error_id) == ("failed", "database.no-admin")
        assert "Run install.sh again" in task.error_hint
        assert Database.objects.get(pk=database.pk).state == DatabaseState.FAILED
        assert look(settings)["Databases"].verdict is Verdict.WRONG
    finally:
        host.sql("DROP ROLE bakery")
