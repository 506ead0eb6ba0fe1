"""Restores over the API, and backups as files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from bakery.models import TaskState
from databases.models import Backup, Database, Disclosure
from databases.services.backup_files import path_of
from databases.services.backups import request_backup
from databases.services.uploads import uploads_dir
from databases.services.work import work_on
from tests.instance import Instance
from tests.integration import restores
from tests.integration.people import bob, charlie
from tests.integration.postgres_hosts import MAJORS, PostgresHosts
from tests.integration.restores import Cakes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
JSON = "application/json"


@pytest.fixture
def cakes(postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> Cakes:
    host = postgres_hosts.of(MAJORS[0])
    restores.use(host, tmp_path, settings)
    return restores.make(host, "cakes")


@pytest.fixture
def client(cakes: Cakes) -> Client:
    signed_in = Client()
    signed_in.force_login(bob())
    return signed_in


def post(client: Client, path: str, **body: object) -> dict[str, Any]:
    answer = client.post(f"/api/{path}", body, content_type=JSON)
    assert answer.status_code in (200, 201, 202), answer.content
    return dict(answer.json())


async def body_of(answer: Any) -> bytes:
    return b"".join([piece async for piece in answer])


def worked(cakes: Cakes) -> None:
    work_on(cakes.row.pk)
    cakes.row.refresh_from_db()
    assert {task.state for task in cakes.row.tasks.all()} == {TaskState.SUCCEEDED}


def test_a_dump_comes_in_pieces_and_is_restored_and_undone(cakes: Cakes, client: Client) -> None:
    dump = b"CREATE TABLE cakes (name text);\nCOPY cakes FROM stdin;\nnew\n\\.\n"
    begun = post(client, "uploads")
    there = f"/api/uploads/{begun['token']}"
    assert client.put(f"{there}?at=0", dump[:20], content_type="application/octet-stream").json()["size_bytes"] == 20
    again = client.put(f"{there}?at=0", dump[:20], content_type="application/octet-stream")
    assert (again.status_code, again.json()["id"]) == (422, "dump.piece")
    assert "20 bytes" in again.json()["message"]
    client.put(f"{there}?at=20", dump[20:], content_type="application/octet-stream")
    done = post(client, f"uploads/{begun['token']}", name="cakes.sql")
    assert (done["size_bytes"], done["format"]) == (len(dump), "plain")
    assert (uploads_dir() / done["token"]).stat().st_mode & 0o777 == 0o600

    task = post(client, "databases/cakes/restore", upload=done["token"], name="cakes.sql", backup_first=False)
    assert (task["kind"], task["state"]) == ("restore", "queued")
    worked(cakes)
    assert cakes.names == {"new"}
    assert client.get("/api/databases/cakes").json()["restored_from"] is True
    post(client, "databases/cakes/restore/undo")
    worked(cakes)
    assert cakes.names == {"éclair"}


def test_a_backup_is_restored_confirmed_and_cloned(cakes: Cakes, client: Client) -> None:
    cakes.worked(request_backup(cakes.row, by=None))
    cakes.add("later")
    post(client, "databases/cakes/restore", backup=Backup.objects.get().pk)
    worked(cakes)
    assert cakes.names == {"éclair"}
    post(client, "databases/cakes/restore/confirm")
    worked(cakes)
    made = post(client, "databases/cakes/clone", name="copy")
    copy = Cakes(cakes.host, Database.objects.get(pk=made["id"]))
    worked(copy)
    assert copy.names == {"éclair"}


def test_a_backup_is_downloaded_by_who_may_and_that_is_written_down(cakes: Cakes, client: Client) -> None:
    cakes.worked(request_backup(cakes.row, by=None))
    backup = Backup.objects.get()
    address = f"/api/databases/cakes/backups/{backup.pk}/file"
    answer = client.get(address)
    assert asyncio.run(body_of(answer)) == path_of(backup).read_bytes()
    assert answer["Content-Disposition"].startswith('attachment; filename="cakes-')
    assert "no-store" in answer["Cache-Control"]
    (told,) = Disclosure.objects.all()
    assert (told.subject, told.what, told.shown_to) == ("cakes", "a backup", bob())
    viewer = Client()
    viewer.force_login(charlie())
    assert viewer.get(address).status_code == 403
    path_of(backup).unlink()
    gone = client.get(address)
    assert (gone.status_code, gone.json()["id"]) == (503, "backup.file-gone")
    assert Disclosure.objects.count() == 1


def test_what_is_asked_wrongly_is_answered_in_words(cakes: Cakes, client: Client) -> None:
    wrong = {
        ("databases/cakes/restore", ()): "restore.source",
        ("databases/cakes/restore", (("backup", 999),)): "input.invalid",
        ("databases/cakes/restore", (("upload", "../../etc/passwd"),)): "dump.gone",
        ("databases/cakes/restore/undo", ()): "restore.none",
        ("databases/cakes/clone", (("name", "cakes"),)): "input.invalid",
        ("databases/cakes/clone", (("name", "copy"), ("deployment", "none"))): "input.invalid",
        (f"uploads/{'0' * 32}", (("name", "x"),)): "dump.gone",
    }
    for (path, body), expected in wrong.items():
        answer = client.post(f"/api/{path}", dict(body), content_type=JSON)
        assert (answer.status_code >= 400, answer.json()["id"]) == (True, expected), path


def test_a_piece_may_be_as_large_as_is_said(instance: Instance) -> None:
    session = instance.client()
    token = session.get(f"{instance.base_url}/api/session", timeout=60).json()["csrf_token"]
    headers = {"X-CSRFToken": token, "Content-Type": "application/octet-stream"}
    begun = session.post(f"{instance.base_url}/api/uploads", headers=headers, timeout=60).json()
    there = f"{instance.base_url}/api/uploads/{begun['token']}"
    for number in range(2):
        at = number * begun["piece_bytes"]
        piece = b"-" * begun["piece_bytes"]
        stored = session.put(f"{there}?at={at}", data=piece, headers=headers, timeout=60).json()
        assert stored["size_bytes"] == at + len(piece)
    part = instance.data_dir / "uploads" / f"{begun['token']}.part"
    assert part.stat().st_size == 2 * begun["piece_bytes"]
    assert session.delete(there, headers=headers, timeout=60).status_code == 200
    assert not part.exists()
