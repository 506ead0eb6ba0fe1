"""What a step of the engine has in its hands: the task, its lease, a runner and the release's build log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bakery.events import announce
from bakery.models import Task
from bakery.recorder import TaskRecorder
from deployments.logs.writer import LogWriter, open_stream
from deployments.models import Deployment, Release, ReleaseState, StreamKind
from deployments.services.leases import Lease
from deployments.services.snapshot import Snapshot
from infrastructure.errors import Blame, Cancelled, LeaseLost, Problem
from infrastructure.runner import Runner
from infrastructure.secret import Masker


class Job:
    """One run of one task. Made anew when a task is resumed."""

    def __init__(self, task: Task, deployment: Deployment, lease: Lease) -> None:
        self.task = task
        self.deployment = deployment
        self.lease = lease
        self.recorder = TaskRecorder(task)
        self._release = task.release
        self._snapshot = Snapshot.from_release(task.release) if task.release else None
        self.masker = Masker(self._snapshot.secrets() if self._snapshot else ())
        self.runner = Runner(self.recorder, self.masker, self.lease.cancelled)
        self._writer: LogWriter | None = None

    @property
    def release(self) -> Release:
        if self._release is None:
            raise Problem("bakery.no-release", "This task has lost its release.", blame=Blame.BAKERY)
        return self._release

    @property
    def snapshot(self) -> Snapshot:
        if self._snapshot is None:
            raise Problem("bakery.no-release", "This task has lost its release.", blame=Blame.BAKERY)
        return self._snapshot

    def log(self, data: bytes) -> None:
        """Append output to the release's build log. The log is opened with the first byte."""
        if self._writer is None:
            self._writer = LogWriter(open_stream(self.release, StreamKind.BUILD), self.masker)
        self._writer.write(data)

    def say(self, line: str) -> None:
        """A line of Bakery's own in the build log."""
        self.log(f"\x1b[36m▸\x1b[0m {line}\n".encode())

    def close(self, *, ended: bool) -> None:
        """Flush the log; ``ended``: nothing will be appended any more."""
        if self._writer is not None:
            self._writer.close(end=ended)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A part of the story: recorded as a step, begun only with a valid lease."""
        if self.lease.cancelled() and name in CANCELLABLE:
            raise Cancelled
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


CANCELLABLE = ("fetch", "build", "pre-deploy", "start", "probe", "restart", "start again")
