"""Writes down what a task does: its phases and every command, argv masked, with exit code and times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import timezone

from bakery.events import announce
from bakery.models import Task, TaskState, TaskStep
from infrastructure.errors import Cancelled


class TaskRecorder:
    """The ``Recorder`` of a task's ``Runner``."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.current_phase = "prepare"

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A named part of the task. It ends as failed or cancelled when its body raises."""
        self.current_phase = name
        step = TaskStep.objects.create(task=self.task, phase=name)
        announce("task", self.task.pk)
        try:
            yield
        except Cancelled:
            self._end(step, TaskState.CANCELLED, None)
            raise
        except Exception as error:
            self._end(step, TaskState.FAILED, None, str(error)[:1000])
            raise
        self._end(step, TaskState.SUCCEEDED, None)

    def started(self, argv: list[str]) -> object:
        return TaskStep.objects.create(task=self.task, phase=self.current_phase, argv=argv)

    def ended(self, handle: object, exit_code: int | None, note: str) -> None:
        if isinstance(handle, TaskStep):
            self._end(handle, TaskState.SUCCEEDED if exit_code == 0 else TaskState.FAILED, exit_code, note)

    @staticmethod
    def _end(step: TaskStep, state: TaskState, exit_code: int | None, note: str = "") -> None:
        TaskStep.objects.filter(pk=step.pk).update(state=state, exit_code=exit_code, note=note, ended_at=timezone.now())
        announce("task", step.task_id)


def close_open_steps(task: Task, note: str) -> None:
    """End the steps that a killed worker left running."""
    task.steps.filter(state=TaskState.RUNNING).update(state=TaskState.FAILED, note=note, ended_at=timezone.now())
