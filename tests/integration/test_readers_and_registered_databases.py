"""The read-only role for people, and databases elsewhere."""

from __future__ import annotations

import socketserver
import struct
import threading
from pathlib import Path

import psycopg
import pytest

from databases.models import Backup, Database, DatabaseState, Disclosure
from databases.services.backups import request_backup
from databases.services.connection import url_of
from databases.services.dropping import drop_database
from databases.services.measuring import place_of
from databases.services.provisioning import change_database, check_external, register_external
from databases.services.readers import drop_reader, make_reader
from databases.services.sessions import reading
from infrastructure.errors import HostProblem, Problem, Refused
from infrastructure.postgres import patience
from infrastructure.postgres.measuring import answers, measure
from infrastructure.postgres.streaming import rows_of
from tests.integration.databases import database_host, done, failed, made, refusal
from tests.integration.postgres_hosts import PostgresHost

__all__ = ["database_host"]
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_the_read_only_role_reads_what_is_there_and_what_comes_and_writes_nothing(database_host: PostgresHost) -> None:
    database = made("orders")
    app = url_of(database).reveal()
    sql = database_host.sql
    sql('CREATE TABLE visits (id serial); CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one".cakes (id int)', url=app)
    task, secret = make_reader(database, by=None)
    done(task)
    reader = secret.reveal()
    sql("CREATE TABLE later (id int); INSERT INTO later VALUES (7)", url=app)
    sql("CREATE SCHEMA newer CREATE TABLE newer.things (id int)", url=app)
    assert sql("SELECT * FROM visits", url=reader) == []
    assert sql('SELECT * FROM "Odd one".cakes', url=reader) == []
    assert sql("SELECT * FROM later", url=reader) == [(7,)]
    assert sql("SELECT * FROM newer.things", url=reader) == []
    for write in (
        "INSERT INTO later VALUES (8)",
        "SET default_transaction_read_only = off; INSERT INTO later VALUES (8)",
        "SET default_transaction_read_only = off; DROP TABLE later",
        "SET default_transaction_read_only = off; CREATE TABLE public.mine (id int)",
        f"SET ROLE {database.owner_role}",
    ):
        assert refusal(reader, write)
    database.refresh_from_db()
    assert database.has_reader
    assert Disclosure.objects.get().subject == "orders"
    stored = list(Database.objects.filter(pk=database.pk).values())
    password = psycopg.conninfo.conninfo_to_dict(reader)["password"]
    assert str(password) not in f"{stored}{task.ref}"


def test_asked_for_again_the_read_only_password_before_ends_and_the_role_can_go(database_host: PostgresHost) -> None:
    database = made("orders")
    task, first = make_reader(database, by=None)
    done(task)
    with psycopg.connect(first.reveal(), autocommit=True) as session:
        task, second = make_reader(database, by=None)
        done(task)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert "password" in refusal(first.reveal(), "SELECT 1")
    assert database_host.sql("SELECT 1", url=second.reveal()) == [(1,)]
    done(drop_reader(database, by=None))
    assert database.reader_role not in database_host.roles()


def test_a_registered_database_is_looked_at_and_its_address_kept(database_host: PostgresHost) -> None:
    address = url_of(made("elsewhere")).reveal() + "?schema=public&application_name=shop"
    database = register_external("theirs", f"  {address}\n", by=None)
    done(database.tasks.get())
    database.refresh_from_db()
    assert (database.state, database.server_version // 10_000) == (DatabaseState.READY, database_host.major)
    assert url_of(database).reveal() == address
    done(check_external(database, by=None))
    with pytest.raises(Problem) as caught:
        change_database(database, by=None, statement_timeout=1)
    assert caught.value.id == "database.external"
    before = database_host.databases()
    done(drop_database(database, by=None))
    assert database_host.databases() == before
    assert not Database.objects.filter(pk=database.pk).exists()


def test_what_reads_a_registered_database_whole_opens_no_file_that_its_address_names(
    database_host: PostgresHost, tmp_path: Path
) -> None:
    written = tmp_path / "written-by-libpq"
    files = f"?schema=public&sslkeylogfile={written}&sslcert=/etc/passwd&sslkey=/etc/shadow&sslrootcert=/etc/shadow"
    address = url_of(made("elsewhere")).reveal()
    database_host.sql("CREATE TABLE cakes (id int); INSERT INTO cakes VALUES (1)", url=address)
    database = register_external("theirs", address + files, by=None)
    done(database.tasks.get())
    with reading(database) as place:
        assert not place.parts.keys() & {"sslkeylogfile", "sslcert", "sslkey", "sslrootcert"}
    database.refresh_from_db()
    done(request_backup(database, by=None))
    assert Backup.objects.get(database=database).rows == {"public.cakes": 1}


class Silent(socketserver.BaseRequestHandler):
    """Lets everybody in, and then says nothing any more."""

    def handle(self) -> None:
        while len(asked := self.request.recv(1024)) == 8:  # SSLRequest, GSSENCRequest
            self.request.sendall(b"N")
        if asked:
            self.request.sendall(b"R" + struct.pack("!II", 8, 0) + b"Z" + struct.pack("!I", 5) + b"I")
        while self.request.recv(1024):
            pass


def test_a_server_that_takes_everybody_in_and_says_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SECONDS", 0.5)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        database = register_external("theirs", f"postgresql://a:b@127.0.0.1:{server.server_address[1]}/c", by=None)
        assert failed(database.tasks.get()).error_id == "database.external-silent"
        for look in (answers, measure, rows_of):
            with pytest.raises(HostProblem) as caught:
                look(place_of(database))
            assert caught.value.id == "postgres.silent"
        server.shutdown()


def test_a_registered_database_that_does_not_answer_says_why_without_its_password(database_host: PostgresHost) -> None:
    wrong = database_host.address("postgres", "bakery_admin", "not-the-password")
    database = register_external("theirs", wrong, by=None)
    task = failed(database.tasks.get())
    assert task.error_id == "database.external-silent"
    assert "not-the-password" not in f"{task.error_message}{task.error_hint}"
    database.refresh_from_db()
    assert database.state == DatabaseState.FAILED
    again = register_external("theirs", database_host.admin, by=None)
    done(again.tasks.order_by("pk").last())
    assert again.pk == database.pk


@pytest.mark.parametrize(
    "address",
    [
        "",
        "mysql://root:x@db.example/shop",
        "postgresql://shop:x@/shop",
        "postgresql://shop:x@%2Fvar%2Frun%2Fpostgresql/shop",
        "postgresql://shop:x@db.example/shop?host=/var/run/postgresql",
        "postgresql://shop:x@db.example/shop?passfile=/etc/passwd",
        "postgresql://shop:x@db.example/shop#?host=/var/run/postgresql",
        "postgresql://shop:x@%40socket/shop",
        "postgresql://shop:x@db.example/shop?service=x",
        "postgresql://shop:x@one.example,two.example/shop",
        "postgresql://shop:x@db.example:99999/shop",
        "postgresql://shop:x@db.example",
        "postgresql://db.example/shop",
        "postgresql://shop:x@db.example/sh op",
        "host=db.example dbname=shop",
        "postgresql://shop:x@db.example/" + "a" * 3000,
    ],
)
def test_what_is_no_address_of_a_database_on_the_network_is_refused(address: str) -> None:
    with pytest.raises(Refused) as caught:
        register_external("theirs", address, by=None)
    assert caught.value.id == "database.url"
    assert not Database.objects.exists()
