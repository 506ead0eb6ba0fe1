"""What the role of one application can do to what is not its own: nothing."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from databases.services.connection import url_of
from tests.integration.databases import database_host, made, refusal
from tests.integration.postgres_hosts import PostgresHost

__all__ = ["database_host"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
# Each as the role that signs in is at first, and after it has put off its owner's role.
GUISES = ["", "RESET ROLE", "SET ROLE NONE"]


def beside(url: str, database: str) -> str:
    return url.rsplit("/", 1)[0] + f"/{database}"


@pytest.mark.parametrize("guise", GUISES)
def test_the_role_of_one_application_gets_nothing_of_the_server_or_of_others(
    database_host: PostgresHost, guise: str
) -> None:
    bob = made("bobs")
    database_host.sql("CREATE TABLE letters (text text)", url=url_of(bob).reveal())
    database_host.sql("INSERT INTO letters VALUES ('a secret of Bob''s')", url=url_of(bob).reveal())
    mallory = made("mallorys")
    url = url_of(mallory).reveal()
    assert "CONNECT" in refusal(beside(url, bob.database_name), "SELECT * FROM letters")
    other = f"{bob.database_name}_a"
    attempts = (
        "CREATE ROLE friend LOGIN",
        "CREATE DATABASE mine",
        f"ALTER ROLE {other} PASSWORD 'known'",
        f"ALTER ROLE {mallory.owner_role} CREATEROLE",
        "ALTER ROLE bakery_admin PASSWORD 'known'",
        f"SET ROLE {bob.owner_role}",
        f"SET ROLE {other}",
        "SET ROLE bakery_admin",
        "SET SESSION AUTHORIZATION bakery_admin",
        f"GRANT {bob.owner_role} TO {mallory.login_role()}",
        f"DROP DATABASE {bob.database_name}",
        f"ALTER DATABASE {bob.database_name} OWNER TO {mallory.owner_role}",
        f"COMMENT ON DATABASE {bob.database_name} IS 'mine'",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "CREATE TEMP TABLE t (x text); COPY t FROM PROGRAM 'id'",
        "CREATE TEMP TABLE t (x text); COPY t FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/bakery-isolation'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('PG_VERSION')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/bakery-isolation')",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT pg_reload_conf()",
        "ALTER SYSTEM SET log_statement = 'none'",
        "SET log_statement = 'none'",
        "CREATE EXTENSION file_fdw",
        "CREATE EXTENSION dblink",
        "CREATE LANGUAGE plpython3u",
        "CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
        "LOAD '/tmp/evil.so'",
        "CREATE TABLESPACE mine LOCATION '/tmp'",
        "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1' PUBLICATION p",
    )
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(sql.SQL(guise or "SELECT 1"))
        for attempt in attempts:
            with pytest.raises(psycopg.Error):
                session.execute(sql.SQL(attempt))
            session.execute("DROP TABLE IF EXISTS t")


def test_an_application_neither_ends_nor_reads_the_sessions_of_others(database_host: PostgresHost) -> None:
    url, others = url_of(made("mallorys")).reveal(), url_of(made("bobs")).reveal()
    with psycopg.connect(others, autocommit=True) as bobs:
        bobs.execute("SELECT 'a secret of Bob''s'")
        pid = bobs.info.backend_pid
        seen = database_host.sql(f"SELECT query FROM pg_stat_activity WHERE pid = {pid}", url=url)
        assert "secret" not in str(seen)
        assert "erminate" in refusal(url, f"SELECT pg_terminate_backend({pid})")
        assert bobs.execute("SELECT 1").fetchone() == (1,)
