"""Watches a task, and reads a log, from the database: what the terminal shows survives Redis and the web process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from django.core.management.base import OutputWrapper

from bakery.models import Task, TaskState
from bakery.phases import name_of
from deployments.logs.reading import ANSI, all_chunks, cut_notice
from deployments.models import LogChunk, LogStream, StreamKind
from infrastructure.errors import Blame, Problem

INTERVAL = 0.2  # seconds between two looks
PATIENCE = 5.0  # seconds after which a task that nobody has begun is worth a word


def for_terminal(out: OutputWrapper, text: str) -> str:
    """``text`` with its colours where somebody looks at them, without where a file or a program gets it."""
    return text if out.isatty() and "NO_COLOR" not in os.environ else ANSI.sub("", text)


class StreamReader:
    """Reads a log on from where it stopped. What was cut out of the middle is said, not hidden."""

    def __init__(self, stream: LogStream, *, from_end: bool = False) -> None:
        self.stream = stream
        self.seq = stream.next_seq - 1 if from_end else 0
        self.line = stream.line_count if from_end else 0

    def read(self) -> Iterator[str]:
        """What was written since the last call."""
        for chunk in all_chunks(self.stream.pk, self.seq):
            if chunk.first_line > self.line:
                yield cut_notice(chunk.first_line - self.line)
            yield chunk.data
            self.seq, self.line = chunk.seq, chunk.first_line + chunk.line_count

    def tail(self, lines: int) -> str:
        """The last ``lines`` lines; ``read`` goes on after them."""
        kept: list[str] = []
        newest = LogChunk.objects.filter(stream=self.stream).order_by("-seq")
        for chunk in newest.iterator(chunk_size=10):
            if chunk.seq > self.seq:
                self.seq, self.line = chunk.seq, chunk.first_line + chunk.line_count
            kept = chunk.data.splitlines(keepends=True) + kept
            if len(kept) >= lines:
                break
        return "".join(kept[-lines:])


class TaskFollower:
    """Prints a task's phases as they begin, and its own log, or its release's build log, as it is written."""

    def __init__(self, task: Task, *, say: Callable[[str], None], log: Callable[[str], None]) -> None:
        self.task = task
        self.say = say
        self.log = log
        self.reader: StreamReader | None = None
        self.last_step = 0
        self.began = time.monotonic()
        self.warned = False

    def to_the_end(self) -> Task:
        """The task when it has succeeded; raises the ``Problem`` that it ended with."""
        while True:
            # First the state, then the log: what was written before the end is always shown.
            # The snapshot, which costs a decryption, is left where it is.
            found = Task.objects.for_feed().defer("release__snapshot").filter(pk=self.task.pk).first()
            if found is None:
                raise Problem("task.gone", f"Task {self.task.pk} was deleted while it was watched.", blame=Blame.BAKERY)
            self.task = found
            self._show_steps()
            self._show_log()
            if found.is_finished:
                return self._ended(found)
            self._warn_when_nobody_begins()
            time.sleep(INTERVAL)

    def _show_steps(self) -> None:
        for step in self.task.steps.filter(pk__gt=self.last_step, argv__isnull=True):
            self.last_step = step.pk
            self.say(f"→ {name_of(self.task.kind, step.phase)}{f': {step.note}' if step.note else ''}")

    def _show_log(self) -> None:
        if self.reader is None:
            stream = LogStream.objects.filter(task=self.task).first()
            if stream is None and self.task.release is not None:
                stream = LogStream.objects.filter(release=self.task.release, kind=StreamKind.BUILD).first()
            if stream is None:
                return
            # A rollback builds nothing: the log of the build that once was is not shown again.
            self.reader = StreamReader(stream, from_end=stream.created_at < self.task.created_at)
        for text in self.reader.read():
            self.log(text)

    def _warn_when_nobody_begins(self) -> None:
        waited = time.monotonic() - self.began
        if self.task.state == TaskState.QUEUED and waited > PATIENCE and not self.warned:
            self.warned = True
            self.say(
                "No worker has begun it yet: one is at work on this deployment, or none is running (manage.py doctor)."
            )

    def _ended(self, task: Task) -> Task:
        if task.state == TaskState.SUCCEEDED:
            return task
        if task.state == TaskState.SUPERSEDED:
            raise Problem("task.superseded", f"{task} gave way to a newer one.", "manage.py status tells what is live.")
        if task.state == TaskState.CANCELLED:
            raise Problem("task.cancelled", f"{task} was cancelled.", "What was live before still is.")
        raise Problem(
            task.error_id or "task.failed", task.error_message or f"{task} failed.", task.error_hint, blame=_blame(task)
        )


def _blame(task: Task) -> Blame:
    return Blame(task.error_blame) if task.error_blame in {blame.value for blame in Blame} else Blame.BAKERY
