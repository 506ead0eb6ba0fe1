"""Databases for the tests of restores: made, filled, looked at; on the servers of ``postgres_hosts``."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings as django_settings

from bakery.models import Task
from databases.models import Database, DatabaseState
from databases.services.connection import url_of
from databases.services.provisioning import create_database
from databases.services.restoring import request_restore
from databases.services.uploads import keep_upload
from databases.services.work import work_on
from deployments.models import LogChunk
from tests.integration.postgres_hosts import PASSWORD, PostgresHost


@dataclass
class Cakes:
    """A database with a table ``cakes``."""

    host: PostgresHost
    row: Database

    @property
    def url(self) -> str:
        return url_of(self.row).reveal()

    def sql(self, query: str) -> list[tuple[object, ...]]:
        return self.host.sql(query, url=self.url)

    def add(self, name: str) -> None:
        self.sql(f"INSERT INTO cakes VALUES ('{name}')")

    @property
    def names(self) -> set[object]:
        return {row[0] for row in self.sql("SELECT name FROM cakes")}

    def upload(self, dump: bytes, name: str = "some.dump", **said: Any) -> Task:
        """Ask for a restore of it and carry it out."""
        options = {"backup_first": False, **said}
        task = request_restore(self.row, upload=keep_upload(BytesIO(dump), name), by=None, **options)
        return self.worked(task)

    def worked(self, task: Task) -> Task:
        """Everything that is asked of the database is done; how the task ended."""
        work_on(self.row.pk)
        self.row.refresh_from_db()
        task.refresh_from_db()
        return task

    def host_session(self) -> psycopg.Connection:
        """Of the superuser."""
        return psycopg.connect(self.host.superuser)

    def log(self, task: Task) -> str:
        return "".join(LogChunk.objects.filter(stream__task=task).order_by("seq").values_list("data", flat=True))


def make(host: PostgresHost, name: str, **options: Any) -> Cakes:
    row = create_database(name, by=None, **options)
    work_on(row.pk)
    row.refresh_from_db()
    assert row.state == DatabaseState.READY, row.problem
    cakes = Cakes(host, row)
    cakes.sql("CREATE TABLE cakes (name text PRIMARY KEY)")
    cakes.add("éclair")
    return cakes


def use(host: PostgresHost, directory: Path, settings: Any, **changes: Any) -> None:
    """Bakery's settings are those of an instance with this server and this data directory."""
    (directory / "tools").symlink_to(host.private_tools)
    settings.BAKERY = dataclasses.replace(
        django_settings.BAKERY,
        **{"postgres_admin_url": host.admin, "data_dir": directory, "backups_dir": directory / "backups", **changes},
    )


def pg_dump(host: PostgresHost, database: str, *options: str) -> bytes:
    """As the superuser, as people do it."""
    argv = [str(host.bin / "pg_dump"), *options, host.address(database, "root", PASSWORD)]
    env = {"PATH": os.environ["PATH"], **({"LD_LIBRARY_PATH": host.libraries} if host.libraries else {})}
    done = subprocess.run(argv, env=env, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def content(host: PostgresHost, database: str) -> list[str]:
    """All that is in it, as text, without what says whose it is and which dump it was."""
    text = pg_dump(host, database, "--no-owner", "--no-privileges", "--no-comments").decode()
    return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))]
