"""What a database's task has in its hands, beside what every task beside the engine has: its row, and what was said."""

from __future__ import annotations

import json
from typing import Any

from bakery.models import Task
from databases.models import Database
from deployments.models import StreamKind
from deployments.services.task_job import TaskJob
from infrastructure.errors import Problem
from infrastructure.secret import Masker, Secret


class NotYet(Exception):
    """The task cannot go on now: something else (a deploy, a restart) has to end first. It is called again in some
    seconds, and finds by itself how far it was."""


class DatabaseJob(TaskJob):
    """``said`` is what the task's ``ref`` holds, e.g. ``{"backup": 12}``."""

    def __init__(self, task: Task, database: Database) -> None:
        self.database = database
        self.said: dict[str, Any] = json.loads(task.ref) if task.ref else {}
        super().__init__(task, StreamKind.DATABASE, Masker(_secrets(database)), topic="database", row=database.pk)


def _secrets(database: Database) -> list[Secret]:
    """What its log must never show. One that cannot be decrypted cannot be shown either."""
    found = []
    for value in (database.password, database.next_password, database.url):
        try:
            found.append(Secret(value.reveal()))
        except Problem:
            continue
    return [secret for secret in found if secret.reveal()]
