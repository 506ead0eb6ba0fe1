"""What a step of the engine has in its hands: the task, its lease, a runner and the release's build log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from bakery.events import announce
from bakery.models import Task, TaskState
from bakery.recorder import TaskRecorder
from databases.services.injection import secrets_of
from deployments.logs.writer import LogWriter, open_stream
from deployments.models import Deployment, Release, ReleaseState, Slot, StreamKind
from deployments.services.leases import Lease
from deployments.services.snapshot import Snapshot
from infrastructure.errors import Blame, Cancelled, LeaseLost, Problem
from infrastructure.runner import Runner
from infrastructure.runtime import Observation
from infrastructure.secret import Masker, Secret

logger = logging.getLogger(__name__)
# Parts that a cancel ends. Later ones are short, or the release serves already.
CANCELLABLE = (
    "fetch",
    "build",
    "databases",
    "back up",
    "stop the old release",
    "pre-deploy",
    "start",
    "probe",
    "restart",
    "start again",
)


class Job:
    """One run of one task. Made anew when a task is resumed."""

    def __init__(self, task: Task, deployment: Deployment, lease: Lease) -> None:
        self.task = task
        self.deployment = deployment
        self.lease = lease
        self.recorder = TaskRecorder(task)
        self._snapshot: Snapshot | None = None
        try:
            self.masker = Masker(self._secrets() if task.release else ())
        except Problem:  # it cannot be decrypted: the first step that needs it says so
            self.masker = Masker()
        self._ends_on_cancel = True
        self._has_ended = False
        self.runner = Runner(self.recorder, self.masker, self.is_cancelled)
        self._writer: LogWriter | None = None
        # The release's process as it was when it answered: what differs later has died. Unknown after a resume.
        self.seen_healthy: Observation | None = None

    @property
    def release(self) -> Release:
        if self.task.release is None:
            raise Problem("release.none", f"{self.deployment.name} has no release yet.", "Deploy it first.")
        return self.task.release

    @property
    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = Snapshot.from_release(self.release)
        return self._snapshot

    def _secrets(self) -> list[Secret]:
        return [*self.snapshot.secrets(), *secrets_of(self.snapshot.databases)]

    @property
    def slot(self) -> Slot:
        """Where the release serves."""
        if self.release.slot is None:
            raise Problem("bakery.no-slot", f"v{self.release.number} has lost its slot.", blame=Blame.BAKERY)
        return self.release.slot

    def log(self, data: bytes) -> None:
        """Append output to the release's build log. The log is opened with the first byte."""
        if self._writer is None:
            self._writer = LogWriter(open_stream(self.release, StreamKind.BUILD), self.masker)
        self._writer.write(data)

    def say(self, line: str) -> None:
        """A line of Bakery's own in the build log."""
        self.log(f"\x1b[36m▸\x1b[0m {line}\n".encode())

    def is_cancelled(self) -> bool:
        """Asked by everything that takes time. Raises ``LeaseLost`` when another worker may have taken over."""
        return self.lease.cancelled() and self._ends_on_cancel

    def refuse_cancelled(self) -> None:
        if self.is_cancelled():
            raise Cancelled

    def go_on_though_cancelled(self) -> None:
        """From here on the host is put back: that must not be cut short by what caused it."""
        self._ends_on_cancel = False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A part of the story: recorded as a step, begun only with a valid lease."""
        if name in CANCELLABLE:
            self.refuse_cancelled()
        self.lease.check()
        with self.recorder.phase(name):
            yield

    def move(self, source: ReleaseState, target: ReleaseState, **changes: Any) -> None:
        """Change the release's state, or raise ``LeaseLost`` when somebody else has."""
        self.lease.check()
        if not Release.objects.move(self.release.pk, source, target, **changes):
            raise LeaseLost
        self.release.state = target
        for name, value in changes.items():
            setattr(self.release, name, value)
        announce("deployment", self.deployment.pk)

    def advance(self, source: ReleaseState, target: ReleaseState) -> None:
        """``move`` for a step that may be repeated: nothing happens when a killed worker had moved already."""
        if self.release.state == source:
            self.move(source, target)

    def finish(self, state: TaskState) -> None:
        """Close the log, then the task: who waits for the task finds the log complete."""
        if not self._has_ended:
            self.lease.check()
            if self._writer is not None:
                self._writer.close(end=True)
            self.end(state)
        announce("task", self.task.pk)
        announce("deployment", self.lease.deployment_id)

    def end(self, state: TaskState) -> None:
        """Write down how the task ended. Called alone where what the lease is for goes in the same transaction: nobody
        could hold it any more, or find the task."""
        Task.objects.filter(pk=self.task.pk, state=TaskState.RUNNING).update(state=state, ended_at=timezone.now())
        self._has_ended = True

    def leave(self) -> None:
        """Another worker goes on with the task, and with its log."""
        try:
            if self._writer is not None:
                self._writer.close(end=False)
        except (DatabaseError, InterfaceError):
            logger.warning("The last lines of a build log could not be written")
