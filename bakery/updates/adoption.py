"""Carries what an update tells in its files into the activity feed: its row, its steps and its log.

The files are the truth. The rows live in the database that an update may put back to what it was before, so they are
brought to what the files say again and again; a row that is gone is made again under its number.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils.dateparse import parse_datetime

from accounts.models import User
from bakery.events import announce
from bakery.models import Task, TaskKind, TaskState, TaskStep
from bakery.updates.requests import SUBJECT
from deployments.logs.follower import Follower
from deployments.logs.store import StreamStore
from deployments.logs.tail import FileTail
from deployments.models import LogStream, StreamKind
from infrastructure.secret import Masker
from infrastructure.update import state as states
from infrastructure.update.place import Place
from infrastructure.update.state import State, Step

ERROR_FIELDS = ("error_id", "error_message", "error_hint", "error_blame")


class Adopter:
    """One turn's look at all state files."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.masker = Masker(place.secrets())

    def adopt_all(self) -> bool:
        """Whether an update goes on."""
        found = states.all_states(self.place.states)
        ids = [state.task for state in found]
        done = set(
            Task.objects.filter(pk__in=ids, log_stream__ended_at__isnull=False)
            .exclude(state__in=(TaskState.QUEUED, TaskState.RUNNING))
            .values_list("pk", flat=True)
        )
        for state in found:
            if state.task not in done:
                self.adopt(state)
        return any(not state.is_finished for state in found)

    def adopt(self, state: State) -> None:
        with transaction.atomic():
            task = _task_of(state)
            changed = _bring_steps(task, state)
            changed = _bring_task(task, state) or changed
        if changed:
            announce("task", task.pk)
        self._read_log(task, ended=state.is_finished)

    def _read_log(self, task: Task, *, ended: bool) -> None:
        stream, _ = LogStream.objects.get_or_create(task=task, defaults={"kind": StreamKind.UPDATE})
        store = StreamStore(stream.pk)
        source = FileTail(self.place.log_file(task.pk), store.cursor)
        follower = Follower(source, store, self.masker)
        try:
            while follower.step():
                pass
            if ended:
                follower.end()
        finally:
            source.close()


def _task_of(state: State) -> Task:
    task = Task.objects.select_for_update().filter(pk=state.task).first()
    if task:
        return task
    by = User.objects.filter(email=state.requested_by).first() if state.requested_by else None
    made = Task(pk=state.task, kind=TaskKind.UPDATE, subject=SUBJECT, ref=state.ref, requested_by=by)
    # Finished until its state is brought in: only one may be unfinished, and that may be a later one.
    made.state = TaskState.FAILED
    made.save(force_insert=True)
    if asked := _moment(state.requested_at):
        Task.objects.filter(pk=made.pk).update(created_at=asked)
    with connection.cursor() as cursor:  # the next row takes the next number
        cursor.execute("SELECT setval(pg_get_serial_sequence('bakery_task', 'id'), (SELECT max(id) FROM bakery_task))")
    return made


def _bring_task(task: Task, state: State) -> bool:
    wanted: dict[str, Any] = {name: getattr(state, name) for name in ERROR_FIELDS}
    wanted["state"] = {"succeeded": TaskState.SUCCEEDED, "failed": TaskState.FAILED}.get(
        state.outcome, TaskState.RUNNING
    )
    wanted["started_at"] = _moment(state.started_at) or task.started_at
    wanted["ended_at"] = _moment(state.ended_at)
    wanted["attempts"] = max(state.attempts, task.attempts)
    if all(getattr(task, name) == value for name, value in wanted.items()):
        return False
    Task.objects.filter(pk=task.pk).update(**wanted)
    return True


def _bring_steps(task: Task, state: State) -> bool:
    """Row for row, in order; what differs is written anew."""
    rows = list(task.steps.all())
    changed = False
    for number, step in enumerate(state.steps):
        wanted = _columns(step)
        if number < len(rows):
            if all(getattr(rows[number], name) == value for name, value in wanted.items()):
                continue
            row_id = rows[number].pk
        else:
            row_id = TaskStep.objects.create(task=task, phase=step.phase).pk
        TaskStep.objects.filter(pk=row_id).update(**wanted)
        changed = True
    if surplus := [row.pk for row in rows[len(state.steps) :]]:
        TaskStep.objects.filter(pk__in=surplus).delete()
        changed = True
    return changed


def _columns(step: Step) -> dict[str, Any]:
    return {
        "phase": step.phase[:40],
        "argv": step.argv,
        "state": step.state,
        "exit_code": step.exit_code,
        "note": step.note,
        "started_at": _moment(step.started_at),
        "ended_at": _moment(step.ended_at),
    }


def _moment(text: str) -> datetime | None:
    return parse_datetime(text) if text else None
