"""Dumps that are damaged, or want more than an application may: the database stays as it is, and why is said."""

from __future__ import annotations

import gzip
import os
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from bakery.models import TaskKind, TaskState
from databases.models import Backup
from databases.services.backup_files import path_of
from databases.services.backups import request_backup
from databases.services.restoring import request_restore
from databases.services.uploads import keep_upload, uploads_dir
from infrastructure.errors import Problem
from tests.integration import restores
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts
from tests.integration.restores import Cakes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(params=MAJORS)
def host(request: pytest.FixtureRequest, postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> PostgresHost:
    found = postgres_hosts.of(request.param)
    restores.use(found, tmp_path, settings, dump_upload_mb=2)
    return found


@pytest.fixture
def cakes(host: PostgresHost) -> Cakes:
    return restores.make(host, "cakes")


def refused(cakes: Cakes, dump: bytes) -> str:
    """The id of the error; nothing else has changed."""
    databases, roles = cakes.host.databases(), cakes.host.roles()
    task = cakes.upload(dump)
    assert task.state == TaskState.FAILED, cakes.log(task)
    assert cakes.names == {"éclair"}
    assert (cakes.host.databases(), cakes.host.roles()) == (databases, roles)
    assert cakes.row.previous == ""
    assert list(uploads_dir().iterdir()) == []
    return task.error_id


def test_a_plain_dump_gets_no_further_than_the_applications_rights(cakes: Cakes, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    trace = tmp_path / "trace"
    wanted = {
        f"\\! touch {trace}\n": "dump.command",
        f"SELECT 1 \\g |touch {trace}\n": "dump.command",
        f"CREATE TABLE t (a text); COPY t FROM PROGRAM 'touch {trace}';": "dump.not-allowed",
        f"COPY (SELECT 1) TO PROGRAM 'touch {trace}';": "dump.not-allowed",
        f"RESET ROLE; SET SESSION AUTHORIZATION root; COPY (SELECT 1) TO '{trace}';": "dump.not-allowed",
        "CREATE TABLE t (a text); COPY t FROM '/etc/passwd';": "dump.not-allowed",
        "SELECT pg_read_file('/etc/passwd');": "dump.not-allowed",
        "DO $$ BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'CREATE ROLE mallory SUPERUSER'; END $$;": "dump.not-allowed",
        "DO $$ BEGIN EXECUTE 'SET ROLE root'; END $$;": "dump.not-allowed",
        "CREATE EXTENSION plpython3u;": "dump.extension",
        "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'int4in';": "dump.not-allowed",
        "ALTER SYSTEM SET shared_preload_libraries = 'x';": "dump.not-allowed",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'root';": "dump.not-allowed",
        "CREATE ROLE mallory;": "dump.whole-server",
        "COPY (SELECT 1) TO STDOUT;": "dump.copy-out",
        "SELECT nonsense;": "dump.failed",
        "BEGIN; CREATE TABLE t (a int);": "dump.cut-off",
    }
    with cakes.host_session():  # somebody of the server's own, who must not be thrown out
        found = {dump: refused(cakes, dump.encode()) for dump in wanted}
    assert found == wanted
    assert not trace.exists()


def test_what_a_dump_leaves_behind_under_another_role_is_the_applications_all_the_same(cakes: Cakes) -> None:
    task = cakes.upload(b"DO $$ BEGIN EXECUTE 'RESET ROLE'; EXECUTE 'CREATE TABLE cakes (name text)'; END $$;")
    assert task.state == TaskState.SUCCEEDED, cakes.log(task)
    assert cakes.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'cakes'") == [(cakes.row.owner_role,)]
    assert not [role for role in cakes.host.roles() if role.endswith("_load")]


def test_a_dump_in_the_custom_format_gets_no_further_either(cakes: Cakes) -> None:
    host = cakes.host
    host.sql("DROP DATABASE IF EXISTS elsewhere")
    host.sql("CREATE DATABASE elsewhere")
    host.sql("CREATE FUNCTION f() RETURNS cstring LANGUAGE internal AS 'textout'", database="elsewhere")
    dump = restores.pg_dump(host, "elsewhere", "--format=custom")
    host.sql("DROP DATABASE elsewhere")
    assert refused(cakes, dump) == "dump.not-allowed"


@pytest.mark.parametrize("options", [("--format=custom",), ()], ids=["custom", "plain"])
def test_a_dump_that_is_cut_off_changes_nothing(cakes: Cakes, options: tuple[str, ...]) -> None:
    cakes.sql("CREATE TABLE crumbs AS SELECT md5(i::text) FROM generate_series(1, 3000) i")
    dump = restores.pg_dump(cakes.host, cakes.row.database_name, *options)
    cakes.sql("DROP TABLE crumbs")
    for cut in (len(dump) // 2, len(dump) - 200):
        assert refused(cakes, dump[:cut]) in ("dump.cut-off", "dump.failed", "postgres.not-a-dump")
    with pytest.raises(Problem) as caught:
        cakes.upload(gzip.compress(dump)[:20])
    assert caught.value.id in ("dump.cut-off", "dump.damaged")


def test_a_small_file_that_becomes_a_large_one_is_ended(cakes: Cakes) -> None:
    bomb = gzip.compress(b"-- nothing\n" * (2 * 1024 * 1024), 1)
    assert len(bomb) < 1024 * 1024
    assert refused(cakes, bomb) == "dump.too-large"


def test_what_is_no_dump_is_refused_when_it_comes(cakes: Cakes) -> None:
    wanted = {
        b"": "dump.empty",
        b"\0\1\2": "dump.not-sql",
        bytes(257) + b"ustar\x00" + bytes(300): "dump.format",
        b"PK\x03\x04": "dump.format",
        b"-- MySQL dump 10.13": "dump.format",
        "SELECT 1;".encode("utf-16"): "dump.format",
        b"x" * (3 * 1024 * 1024): "dump.too-large",
    }
    for dump, expected in wanted.items():
        with pytest.raises(Problem) as caught:
            cakes.upload(dump)
        assert caught.value.id == expected
    assert list(uploads_dir().iterdir()) == []
    assert not cakes.row.tasks.filter(kind=TaskKind.RESTORE).exists()


def test_a_backup_whose_file_was_changed_is_not_restored(cakes: Cakes) -> None:
    backup = Backup.objects.get(task=cakes.worked(request_backup(cakes.row, by=None)))
    with path_of(backup).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    task = cakes.worked(request_restore(cakes.row, backup=backup, by=None, backup_first=False))
    assert (task.state, task.error_id) == (TaskState.FAILED, "backup.changed")
    assert cakes.names == {"éclair"}


def test_a_dump_of_a_newer_version_is_told_from_a_damaged_one(cakes: Cakes) -> None:
    dump = bytearray(restores.pg_dump(cakes.host, cakes.row.database_name, "--format=custom"))
    dump[6] = 99  # the minor version of the archive's format
    assert refused(cakes, bytes(dump)) == "postgres.newer-dump"


def test_two_restores_at_once_are_refused(cakes: Cakes) -> None:
    first = request_restore(cakes.row, upload=keep_upload(BytesIO(b"SELECT 1;"), "a"), by=None, backup_first=False)
    with pytest.raises(Problem) as caught:
        request_restore(cakes.row, upload=keep_upload(BytesIO(b"SELECT 1;"), "b"), by=None, backup_first=False)
    assert caught.value.id == "database.busy"
    assert cakes.worked(first).state == TaskState.SUCCEEDED


def test_without_the_backup_that_was_to_come_first_nothing_is_restored(cakes: Cakes) -> None:
    task = request_restore(cakes.row, upload=keep_upload(BytesIO(b"SELECT 1;"), "a"), by=None)
    cakes.row.tasks.filter(kind=TaskKind.BACK_UP).update(cancel_requested=True)
    task = cakes.worked(task)
    assert (task.state, task.error_id) == (TaskState.FAILED, "restore.no-backup")
    assert cakes.names == {"éclair"}


@pytest.mark.skipif(os.geteuid() != 0, reason="a full disk is made with a small tmpfs, which takes root")
def test_a_disk_that_fills_is_told_and_nothing_is_left_on_it(cakes: Cakes) -> None:
    small = (uploads_dir(), settings.BAKERY.backups_dir)
    for directory in small:
        directory.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(directory)], check=True)
    try:
        with pytest.raises(Problem) as caught:  # while it comes
            cakes.upload(b"-- nothing\n" * 160_000)
        assert caught.value.id == "dump.no-room"
        cakes.sql("CREATE TABLE crumbs (name text)")
        cakes.sql("INSERT INTO crumbs SELECT repeat(md5((i / 100)::text), 100) FROM generate_series(1, 4000) i")
        dump = restores.pg_dump(cakes.host, cakes.row.database_name, "--format=custom", "--compress=0")
        cakes.sql("DROP TABLE crumbs")
        assert refused(cakes, gzip.compress(dump)) == "backup.disk-full"  # where it is unpacked
    finally:
        for directory in small:
            subprocess.run(["umount", str(directory)], check=True)
