"""kill -9 of the worker in every step of a restore: the next one goes on; the database is the old one or the new."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections

from bakery.models import Task, TaskState
from databases.services import bringing_in, clone_story, restore_story
from databases.services.cloning import clone_database
from databases.services.restoring import confirm_restore, request_restore, undo_restore
from databases.services.uploads import keep_upload, uploads_dir
from databases.services.work import work_on
from infrastructure.postgres import managed, plain_dump
from tests.integration import restores
from tests.integration.postgres_hosts import MAJORS, PostgresHost, PostgresHosts
from tests.integration.restores import Cakes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

DUMP = b"CREATE TABLE cakes (name text);\nCOPY cakes FROM stdin;\nnew\n\\.\n"


@pytest.fixture
def host(postgres_hosts: PostgresHosts, settings: Any, tmp_path: Path) -> PostgresHost:
    found = postgres_hosts.of(MAJORS[0])
    restores.use(found, tmp_path, settings)
    return found


@pytest.fixture
def cakes(host: PostgresHost) -> Cakes:
    return restores.make(host, "cakes")


def killed(database: int, place: tuple[Any, str], *, before: bool) -> None:
    """A worker at the database, in a process of its own, which dies before or after it does this."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            _die_there(*place, before=before)
            work_on(database)
        finally:
            os._exit(3)  # it came to the end
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"it was not killed: {status}"


def _die_there(module: Any, name: str, *, before: bool) -> None:
    real: Callable[..., object] = getattr(module, name)

    def last(*args: object, **options: object) -> None:
        if not before:
            real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, last)


def tidy(cakes: Cakes) -> None:
    """Nothing is left but what the row knows of."""
    beside = {name for name in cakes.host.databases() if name.startswith(f"{cakes.row.database_name}_")}
    assert beside == ({cakes.row.previous} if cakes.row.previous else set())
    assert not [role for role in cakes.host.roles() if role.endswith(("_load", "_dump"))]
    assert not uploads_dir().exists() or list(uploads_dir().iterdir()) == []


STEPS = {
    "made": ((managed, "make_database"), False),
    "filling": ((plain_dump, "_copy"), False),
    "filled": ((bringing_in, "_settle"), False),
    "before the swap": ((bringing_in, "swap"), True),
    "after the swap": ((bringing_in, "swap"), False),
    "noting it": ((restore_story, "note_extensions"), True),
    "tidying": ((restore_story, "take_away"), False),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_restore_goes_on(cakes: Cakes, step: str) -> None:
    task = request_restore(cakes.row, upload=keep_upload(BytesIO(DUMP), "a"), by=None, backup_first=False)
    place, before = STEPS[step]
    killed(cakes.row.pk, place, before=before)
    assert cakes.names in ({"éclair"}, {"new"})
    assert cakes.worked(task).state == TaskState.SUCCEEDED, cakes.log(task)
    assert cakes.names == {"new"}
    tidy(cakes)
    cakes.worked(undo_restore(cakes.row, by=None))
    assert cakes.names == {"éclair"}


def restored(cakes: Cakes) -> None:
    assert cakes.upload(DUMP).state == TaskState.SUCCEEDED
    assert cakes.names == {"new"}


ENDINGS = {
    "confirm, dropped": (confirm_restore, (restore_story.dropping, "drop_database"), False, {"new"}),
    "undo, before the swap": (undo_restore, (bringing_in, "swap"), True, {"éclair"}),
    "undo, after the swap": (undo_restore, (bringing_in, "swap"), False, {"éclair"}),
    "undo, row told": (undo_restore, (restore_story, "_forget_previous"), False, {"éclair"}),
    "undo, dropped": (undo_restore, (restore_story.dropping, "drop_database"), False, {"éclair"}),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_its_end_goes_on(cakes: Cakes, ending: str) -> None:
    ask, place, before, names = ENDINGS[ending]
    restored(cakes)
    task = ask(cakes.row, by=None)
    killed(cakes.row.pk, place, before=before)
    assert cakes.worked(task).state == TaskState.SUCCEEDED, cakes.log(task)
    assert (cakes.names, cakes.row.previous) == (names, "")
    tidy(cakes)


@pytest.mark.parametrize(
    ("place", "before"),
    [((clone_story, "stream_dump"), False), ((bringing_in, "swap"), False), ((clone_story, "note_extensions"), True)],
    ids=["dumped", "swapped", "done"],
)
def test_a_clone_goes_on(cakes: Cakes, place: tuple[Any, str], before: bool) -> None:
    clone = Cakes(cakes.host, clone_database(cakes.row, name="copy", by=None))
    killed(clone.row.pk, place, before=before)
    work_on(clone.row.pk)
    clone.row.refresh_from_db()
    assert {task.state for task in Task.objects.filter(database=clone.row)} == {TaskState.SUCCEEDED}
    assert clone.names == {"éclair"}
    tidy(clone)
    assert not list(settings.BAKERY.backups_dir.glob(".clone-*")), "a dump that anybody may find there some day"


def test_one_that_kills_its_worker_every_time_is_given_up(cakes: Cakes) -> None:
    task = request_restore(cakes.row, upload=keep_upload(BytesIO(DUMP), "a"), by=None, backup_first=False)
    for _ in range(3):
        killed(cakes.row.pk, (bringing_in, "_settle"), before=True)
    task = cakes.worked(task)
    assert (task.state, task.error_id) == (TaskState.FAILED, "task.abandoned")
    assert cakes.names == {"éclair"}
    tidy(cakes)
