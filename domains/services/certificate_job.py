"""What a certificate's task has in its hands: its row, a runner, a live log, and whether somebody cancelled it."""

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
from domains.models import Certificate
from infrastructure.certbot.dns_plugins import secret_values
from infrastructure.errors import Cancelled
from infrastructure.runner import Runner
from infrastructure.secret import Masker

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0  # between two looks whether somebody cancelled it


class CertificateJob:
    """One run of one task. Made anew when a task is resumed."""

    def __init__(self, task: Task, certificate: Certificate) -> None:
        self.task = task
        self.certificate = certificate
        self.certificate_id = certificate.pk  # the row may go
        self.wishes = frozenset(task.ref.split())
        provider = certificate.dns_provider
        self.masker = Masker(secret_values(provider.credentials.reveal()) if provider else ())
        self.recorder = TaskRecorder(task)
        self.runner = Runner(self.recorder, self.masker, self.is_cancelled)
        self._looked = 0.0
        self._cancelled = False
        stream, _ = LogStream.objects.get_or_create(
            task=task, defaults={"kind": StreamKind.CERTIFICATE, "deployment": task.deployment}
        )
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

    def finish(self, state: TaskState) -> None:
        """Close the log, then the task: who waits for the task finds the log complete."""
        self._writer.close(end=True)
        Task.objects.filter(pk=self.task.pk, state=TaskState.RUNNING).update(state=state, ended_at=timezone.now())
        announce("task", self.task.pk)
        announce("certificate", self.certificate_id)
        if self.task.deployment_id:
            announce("deployment", self.task.deployment_id)

    def leave(self) -> None:
        """Another worker goes on with the task, and with its log."""
        try:
            self._writer.close(end=False)
        except (DatabaseError, InterfaceError):
            logger.warning("The last lines of a certificate's log could not be written")
