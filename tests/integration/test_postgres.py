"""Databases dumped and brought back, on the instance's PostgreSQL."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from infrastructure.errors import HostProblem
from infrastructure.postgres import dumps
from infrastructure.postgres import tools as postgres_tools
from infrastructure.runner import Runner
from tests.instance import Instance

pytestmark = pytest.mark.slow

ODD_NAME = 'odd "name" = 1 é'


class Recorder:
    def __init__(self) -> None:
        self.argvs: list[list[str]] = []

    def started(self, argv: list[str]) -> None:
        self.argvs.append(argv)

    def ended(self, handle: object, exit_code: int | None, note: str) -> None: ...


def address(instance: Instance, database: str, user: str = "", password: str = "") -> str:
    parts = urlsplit(instance.env["DATABASE_URL"])
    return (
        f"postgres://{user or parts.username}:{password or parts.password}@{parts.hostname}:{parts.port}"
        f"/{database.replace(' ', '%20').replace('=', '%3D')}"
    )


def run(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=60) as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def databases(instance: Instance) -> set[str]:
    return {str(row[0]) for row in run(address(instance, "postgres"), "SELECT datname FROM pg_database")}


@pytest.fixture(params=["plain", ODD_NAME])
def url(instance: Instance, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own, with a table in it."""
    before = databases(instance)
    with psycopg.connect(address(instance, "postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(request.param)))
        made = address(instance, request.param)
        run(made, "CREATE TABLE cakes (name text); INSERT INTO cakes VALUES ('éclair'); CREATE TABLE crumbs (id int)")
        run(made, "INSERT INTO crumbs VALUES (1)")
        yield made
        for name in databases(instance) - before:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def cakes(url: str) -> set[object]:
    return {row[0] for row in run(url, "SELECT name FROM cakes")}


def test_a_dump_comes_back_in_the_place_of_what_is_there(instance: Instance, url: str, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    dumps.dump(url, file, Runner(), without_rows_of=["crumbs"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["dump"]
    dumps.check(file, Runner())
    run(url, "INSERT INTO cakes VALUES ('later')")
    before = databases(instance)

    previous = dumps.restore(url, file, Runner())
    assert cakes(url) == {"éclair"}
    assert run(url, "SELECT * FROM crumbs") == []
    assert databases(instance) - before == {previous}
    dumps.drop_previous(url, previous)
    assert databases(instance) == before


def test_what_was_replaced_can_be_put_back(instance: Instance, url: str, tmp_path: Path) -> None:
    before = databases(instance)
    dumps.dump(url, tmp_path / "dump", Runner())
    run(url, "INSERT INTO cakes VALUES ('later')")
    dumps.put_back(url, dumps.restore(url, tmp_path / "dump", Runner()))
    assert cakes(url) == {"éclair", "later"}
    assert databases(instance) == before


def test_a_database_in_use_is_swapped_while_its_users_keep_coming_back(url: str, tmp_path: Path) -> None:
    dumps.dump(url, tmp_path / "dump", Runner())
    run(url, "INSERT INTO cakes VALUES ('later')")
    over = threading.Event()
    seen: list[frozenset[object]] = []

    def use() -> None:
        while not over.is_set():
            try:
                seen.append(frozenset(cakes(url)))
            except psycopg.OperationalError:  # ended: it connects again
                pass

    users = [threading.Thread(target=use) for _ in range(3)]
    for user in users:
        user.start()
    idle = psycopg.connect(url)
    idle.execute("SELECT * FROM cakes")  # in a transaction, with a lock
    try:
        dumps.restore(url, tmp_path / "dump", Runner())
        assert cakes(url) == {"éclair"}
    finally:
        over.set()
        for user in users:
            user.join()
        idle.close()
    assert set(seen) <= {frozenset({"éclair"}), frozenset({"éclair", "later"})}


def test_no_password_stands_in_an_argv_or_in_an_error(url: str, tmp_path: Path) -> None:
    recorder = Recorder()
    dumps.dump(url, tmp_path / "dump", Runner(recorder))
    dumps.restore(url, tmp_path / "dump", Runner(recorder))
    said = " ".join(part for argv in recorder.argvs for part in argv)
    assert "pg_dump" in said
    assert "pg_restore" in said
    assert str(urlsplit(url).password) not in said
    with pytest.raises(HostProblem) as caught:
        dumps.dump(url.replace(f":{urlsplit(url).password}@", ":not-the-password@"), tmp_path / "other", Runner())
    assert caught.value.id == "postgres.silent"
    assert "not-the-password" not in str(caught.value)


@pytest.mark.parametrize("url", ["plain"], indirect=True)
@pytest.mark.parametrize("damage", ["nothing", "text", "cut", "changed"])
def test_a_damaged_dump_leaves_the_database_as_it_was(
    instance: Instance, url: str, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "dump"
    run(url, "INSERT INTO cakes SELECT md5(i::text) FROM generate_series(1, 5000) i")
    dumps.dump(url, file, Runner())
    whole = file.read_bytes()
    middle = len(whole) // 2
    broken = {
        "nothing": b"",
        "text": b"SELECT 1;\n",
        "cut": whole[: len(whole) // 2],
        "changed": whole[:middle] + bytes(64) + whole[middle + 64 :],
    }
    file.write_bytes(broken[damage])
    before = databases(instance)
    with pytest.raises(HostProblem) as caught:
        dumps.restore(url, file, Runner())
    assert caught.value.id in ("postgres.not-a-dump", "postgres.failed")
    assert databases(instance) == before
    assert len(cakes(url)) == 5001


@pytest.mark.parametrize("url", ["plain"], indirect=True)
def test_a_dump_of_a_newer_version_is_told_from_a_damaged_one(url: str, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    dumps.dump(url, file, Runner())
    data = bytearray(file.read_bytes())
    data[6] = 99  # the minor version of the archive's format, behind PGDMP and the major one
    file.write_bytes(data)
    with pytest.raises(HostProblem) as caught:
        dumps.check(file, Runner())
    assert caught.value.id == "postgres.newer-dump"


@contextmanager
def role(instance: Instance, name: str) -> Iterator[None]:
    """One that signs in with ``<name>-password``. A quickstart lets nobody but its own into the database postgres."""
    admin = address(instance, "postgres")
    run(admin, f"CREATE ROLE {name} LOGIN PASSWORD '{name}-password'")
    run(admin, f"GRANT CONNECT ON DATABASE postgres TO {name}")
    try:
        yield
    finally:
        run(admin, f"REVOKE CONNECT ON DATABASE postgres FROM {name}")
        run(admin, f"DROP ROLE {name}")


@pytest.mark.parametrize("url", ["plain"], indirect=True)
def test_a_role_without_the_right_is_told_what_it_lacks(instance: Instance, url: str, tmp_path: Path) -> None:
    dumps.dump(url, tmp_path / "dump", Runner())
    admin = address(instance, "postgres")
    with role(instance, "modest"):
        with pytest.raises(HostProblem) as caught:
            dumps.restore(address(instance, "plain", "modest", "modest-password"), tmp_path / "dump", Runner())
        assert caught.value.id == "postgres.no-createdb"
        assert 'ALTER ROLE "modest" CREATEDB' in caught.value.hint
        run(admin, "ALTER ROLE modest CREATEDB")
        before = databases(instance)
        with pytest.raises(HostProblem) as caught:  # it does not own the database
            dumps.restore(address(instance, "plain", "modest", "modest-password"), tmp_path / "dump", Runner())
        assert caught.value.id == "postgres.refused"
        assert databases(instance) == before


@pytest.mark.parametrize("url", ["plain"], indirect=True)
def test_a_role_of_its_own_restores_a_dump_of_another_role(instance: Instance, url: str, tmp_path: Path) -> None:
    dumps.dump(url, tmp_path / "dump", Runner())
    admin = address(instance, "postgres")
    with role(instance, "owner"):
        run(admin, "ALTER ROLE owner CREATEDB")
        run(admin, "CREATE DATABASE owned OWNER owner")
        run(admin, "REVOKE ALL ON DATABASE owned FROM PUBLIC")
        mine = address(instance, "owned", "owner", "owner-password")
        try:
            dumps.drop_previous(mine, dumps.restore(mine, tmp_path / "dump", Runner()))
            assert cakes(mine) == {"éclair"}
            assert run(admin, "SELECT has_database_privilege('public', 'owned', 'CONNECT')") == [(False,)]
            run(mine, "CREATE TABLE more (id int)")
        finally:
            run(admin, "DROP DATABASE IF EXISTS owned WITH (FORCE)")


@pytest.mark.parametrize("url", ["plain"], indirect=True)
def test_a_place_that_cannot_be_written_is_explained(url: str, tmp_path: Path) -> None:
    with pytest.raises(HostProblem) as caught:
        dumps.dump(url, tmp_path / "nowhere" / "dump", Runner())
    assert caught.value.id == "postgres.file"
    with pytest.raises(HostProblem) as caught:
        dumps.restore(url, tmp_path / "nowhere" / "dump", Runner())
    assert caught.value.id == "postgres.file"


def test_the_programs_of_the_servers_own_version_come_first() -> None:
    tools = [postgres_tools.ClientTools(major, Path(f"/usr/lib/postgresql/{major}/bin")) for major in (14, 15, 17)]
    assert [one.major for one in postgres_tools.fitting(tools, 15)] == [15, 17]
    assert [one.major for one in postgres_tools.fitting(tools, 16)] == [17]
    with pytest.raises(HostProblem) as caught:
        postgres_tools.fitting(tools, 18)
    assert caught.value.id == "postgres.no-tools"
    assert "found: 14, 15, 17" in caught.value.message
    assert "postgresql-client-18" in caught.value.hint
