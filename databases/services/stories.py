"""Which story a worker follows for which kind of task. Each may be called again after a kill -9, at any step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bakery.models import TaskKind
from databases.services import (
    backing_up,
    bringing_back,
    clone_story,
    drop_story,
    making,
    restore_story,
    restore_tests,
    rotation_story,
)
from databases.services.job import DatabaseJob
from infrastructure.errors import Problem

Story = Callable[[DatabaseJob], None]

STORIES: Mapping[TaskKind, Story] = {
    TaskKind.CREATE_DATABASE: making.create,
    TaskKind.CHANGE_DATABASE: making.change,
    TaskKind.RESTORE: restore_story.restore,
    TaskKind.CLONE_DATABASE: clone_story.clone,
    TaskKind.BACK_UP: backing_up.back_up,
    TaskKind.TEST_RESTORE: restore_tests.test_restore,
    TaskKind.FETCH_BACKUP: bringing_back.bring_back,
    TaskKind.ROTATE_PASSWORD: rotation_story.rotate,
    TaskKind.DROP_DATABASE: drop_story.drop,
}
# What is to be put right when one ends without success; ``None``: it was cancelled.
UNDOINGS: Mapping[TaskKind, Callable[[DatabaseJob, Problem | None], None]] = {
    TaskKind.CREATE_DATABASE: making.creation_failed,
    TaskKind.CHANGE_DATABASE: making.change_failed,
    TaskKind.RESTORE: restore_story.given_up,
    TaskKind.CLONE_DATABASE: clone_story.given_up,
    TaskKind.BACK_UP: backing_up.give_up,
    TaskKind.TEST_RESTORE: restore_tests.give_up,
    TaskKind.ROTATE_PASSWORD: rotation_story.rotation_failed,
    TaskKind.DROP_DATABASE: drop_story.drop_failed,
}


def given_up(job: DatabaseJob, problem: Problem | None) -> None:
    undo = UNDOINGS.get(TaskKind(job.task.kind))
    if undo:
        undo(job, problem)
