"""What the verbs of ``manage.py database`` share: how one is described, how it speaks to a person or a program."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.management.base import BakeryCommand
from bakery.models import Task
from bakery.roles import Action
from databases.models import Backup, Database
from deployments.management.following import TaskFollower, for_terminal
from deployments.shapes import task_shape
from infrastructure.errors import Problem, Refused

Options = dict[str, Any]


class DatabaseCommand(BakeryCommand):
    """What a verb is given: who acts, and where to print."""

    action = Action.MANAGE_DATABASES  # of most verbs
    prints_data = True
    _followed: Task | None = None

    def follow(self, task: Task, *, wait: bool, done: str = "Done.") -> Task:
        """Print the task's steps and its log until it has ended; its ``Problem`` where it failed."""
        if not wait:
            self.data(task_shape(task)) if self.as_json else self.say(f"Queued as task {task.pk}.")
            return task
        self._followed = task
        ended = TaskFollower(task, say=self.say, log=self._log).to_the_end()
        self.data(task_shape(ended)) if self.as_json else self.say(done)
        return ended

    def interrupted(self) -> str:
        if self._followed is None:
            return super().interrupted()
        return f"no longer watching. Task {self._followed.pk} goes on."

    def _log(self, text: str) -> None:
        out = self.stderr if self.as_json else self.stdout
        out.write(for_terminal(out, text), str, ending="")
        out.flush()


@dataclass(frozen=True)
class Verb:
    name: str
    help: str
    arguments: Callable[[ArgumentParser], None]
    perform: Callable[[DatabaseCommand, Options], None]
    action: Action = Action.MANAGE_DATABASES
    examples: tuple[str, ...] = ()  # of what is typed behind “manage.py database”


def name_argument(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="The database.")


def find_database(name: str) -> Database:
    found = Database.objects.filter(name=name).select_related("deployment").first()
    if found is None:
        names = list(Database.objects.order_by("name").values_list("name", flat=True)[:10])
        hint = f"There are: {', '.join(names)}." if names else "Make one with manage.py database create."
        raise Problem("database.unknown", f"There is no database called {name}.", hint)
    return found


def find_backup(pk: int) -> Backup:
    found = Backup.objects.select_related("database", "storage").filter(pk=pk).first()
    if found is None:
        raise Problem("backup.unknown", f"There is no backup {pk}.", "See manage.py database backups.")
    return found


def read_secret(path: str) -> str:
    """The first line of a file; “-” is standard input."""
    try:
        text = sys.stdin.readline() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("input.file", f"{path} cannot be read: {error}.", "Name another file.") from error
    return (text.splitlines() or [""])[0]
