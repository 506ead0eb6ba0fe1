"""What tests of backups begin with: a database that was made on a real server, with tables in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from bakery.models import Task, TaskState
from databases.models import Backup, Database, DatabaseState
from databases.services.backups import request_backup
from databases.services.connection import url_of
from databases.services.provisioning import create_database
from databases.services.work import work_on
from tests.integration.postgres_hosts import PostgresHost

# A table with a serial, one in a schema of its own, an empty one, partitions, odd names, what the owner may not forget.
TABLES = """
CREATE TABLE cakes (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO cakes (name) SELECT 'cake ' || n FROM generate_series(1, 1000) AS n;
CREATE SCHEMA "Back Office" CREATE TABLE "odd "" table" (body bytea);
INSERT INTO "Back Office"."odd "" table" SELECT decode(md5(n::text), 'hex') FROM generate_series(1, 10) AS n;
CREATE TABLE empty (id int);
CREATE TABLE visits (day date) PARTITION BY RANGE (day);
CREATE TABLE visits_old PARTITION OF visits FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
INSERT INTO visits VALUES ('2020-05-05'), ('2020-06-06');
CREATE VIEW names AS SELECT name FROM cakes;
"""
ROWS = {'Back Office.odd " table': 10, "public.cakes": 1000, "public.empty": 0, "public.visits_old": 2}


def point_to(settings: Any, host: PostgresHost, directory: Path) -> None:
    """Databases are made on ``host``, and backed up to ``directory``."""
    data = host.home  # where the embedded version's programs are found
    settings.BAKERY = dataclasses.replace(
        django_settings.BAKERY,
        postgres_admin_url=host.admin,
        data_dir=data,
        backups_dir=directory,
    )


def filled(name: str, host: PostgresHost) -> Database:
    database = create_database(name, by=None)
    work_on(database.pk)
    database.refresh_from_db()
    assert database.state == DatabaseState.READY, database.problem
    host.sql(TABLES, url=url_of(database).reveal())
    return database


def carried_out(task: Task) -> Task:
    """By this process, as a worker would."""
    assert task.database_id
    work_on(task.database_id)
    task.refresh_from_db()
    return task


def backed_up(database: Database) -> Backup:
    task = carried_out(request_backup(database, by=None))
    assert task.state == TaskState.SUCCEEDED, (task.error_id, task.error_message)
    return Backup.objects.get(task=task)
