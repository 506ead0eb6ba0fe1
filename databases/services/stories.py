"""Which story a worker follows for which kind of task. Each may be called again after a kill -9, at any step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bakery.models import TaskKind
from databases.services import making
from databases.services.job import DatabaseJob
from infrastructure.errors import Problem

Story = Callable[[DatabaseJob], None]

STORIES: Mapping[TaskKind, Story] = {
    TaskKind.CREATE_DATABASE: making.create,
    TaskKind.CHANGE_DATABASE: making.change,
}
# What is to be put right when one ends without success; ``None``: it was cancelled.
UNDOINGS: Mapping[TaskKind, Callable[[DatabaseJob, Problem | None], None]] = {
    TaskKind.CREATE_DATABASE: making.creation_failed,
    TaskKind.CHANGE_DATABASE: making.change_failed,
}


def given_up(job: DatabaseJob, problem: Problem | None) -> None:
    undo = UNDOINGS.get(TaskKind(job.task.kind))
    if undo:
        undo(job, problem)
