"""What a task beside the release engine has in its hands: a runner, phases, a live log, a way to be cancelled."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from bakery.events import announce
from bakery.models import Task, TaskState
from bakery.recorder import TaskRecorder
from deployments.logs.writer import LogWriter
from deployments.models import LogStream, StreamKind
from infrastructure.errors import Blame, Cancelled, Problem
from infrastructure.runner import Runner
from infrastructure.secret import Masker

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0  # between two looks whether somebody cancelled it
MOST_ATTEMPTS = 3


class TaskJob:
    """One run of one task. Made anew when a task is resumed. ``topic`` and ``row`` are what open pages are told of."""

    def __init__(self, task: Task, kind: StreamKind, masker: Masker, *, topic: str, row: int) -> None:
        self.task = task
        self.masker = masker
        self.recorder = TaskRecorder(task)
        self.runner = Runner(self.recorder, self.masker, self.is_cancelled)
        self._topic, self._row = topic, row
        self._looked = 0.0
        self._cancelled = False
        stream, _ = LogStream.objects.get_or_create(task=task, defaults={"kind": kind, "deployment": task.deployment})
        self._writer = LogWriter(stream, self.masker)

    @property
    def is_resumed(self) -> bool:
        return self.task.attempts > 1

    def log(self, data: bytes) -> None:
        self._writer.write(data)

    def say(self, line: str) -> None:
        """A line of Bakery's own in the log."""
        self._writer.write_line(f"\x1b[36m▸\x1b[0m {line}")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        with self.recorder.phase(name):
            yield

    def is_cancelled(self) -> bool:
        if not self._cancelled and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            self._cancelled = Task.objects.filter(pk=self.task.pk, cancel_requested=True).exists()
        return self._cancelled

    def refuse_cancelled(self) -> None:
        if self.is_cancelled():
            raise Cancelled

    def say_problem(self, problem: Problem) -> None:
        self.say(f"\x1b[31m{self.masker.mask(problem.message)}\x1b[0m {problem.hint}".rstrip())

    def finish(self, state: TaskState) -> None:
        """Close the log, then the task: who waits for the task finds the log complete."""
        self.close_log()
        Task.objects.filter(pk=self.task.pk, state=TaskState.RUNNING).update(state=state, ended_at=timezone.now())
        announce("task", self.task.pk)
        announce(self._topic, self._row)
        if self.task.deployment_id:
            announce("deployment", self.task.deployment_id)

    def close_log(self) -> None:
        """Nothing is said any more. Again and again, if need be."""
        self._writer.close(end=True)

    def leave(self) -> None:
        """Another worker goes on with the task, and with its log."""
        try:
            self._writer.close(end=False)
        except (DatabaseError, InterfaceError):
            logger.warning("The last lines of a task's log could not be written")


def note_failure(task: Task, problem: Problem) -> None:
    """Why it fails, in the row; its state is changed when its log is closed."""
    Task.objects.filter(pk=task.pk).update(
        error_id=problem.id,
        error_message=problem.message,
        error_hint=problem.hint,
        error_blame=problem.blame.value,
    )


def bug(error: Exception) -> Problem:
    said = f"Bakery made a mistake ({type(error).__name__})."
    return Problem("bakery.bug", said, _LOOK, blame=Blame.BAKERY)


def abandoned() -> Problem:
    return Problem(
        "task.abandoned",
        f"The worker died {MOST_ATTEMPTS} times in the middle of this task, so it was given up.",
        _LOOK,
        blame=Blame.BAKERY,
    )


_LOOK = "Look at the worker's log in the logs directory; then try again."
