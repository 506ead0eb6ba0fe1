"""Watches an update from the host's own files: the database it is recorded in goes away and comes back meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from django.db import Error, connection

from bakery.models import Task, TaskState
from infrastructure.errors import Blame, Problem
from infrastructure.update import state as states
from infrastructure.update.place import Place
from infrastructure.update.state import State

INTERVAL = 0.2  # seconds between two looks
PATIENCE = 15.0  # seconds after which a task that nobody has begun is worth a word
RECORDING = 60.0  # seconds that a worker, which has just been started, may take to write down how it ended


class UpdateFollower:
    def __init__(self, place: Place, task: Task, *, say: Callable[[str], None], log: Callable[[str], None]) -> None:
        self.place, self.task, self.say, self.log = place, task, say, log
        self.read_until = 0
        self.warned = False

    def to_the_end(self) -> State:
        """The state when it has succeeded; raises the ``Problem`` that it ended with."""
        began = time.monotonic()
        while True:
            # First the state, then the log: what was written before the end is always shown.
            state = states.read(self.place.state_file(self.task.pk))
            self._show_log()
            if state and state.is_finished:
                self._wait_until_recorded()
                return self._ended(state)
            if state is None or not state.attempts:
                self._look_whether_it_begins(time.monotonic() - began)
            time.sleep(INTERVAL)

    def _show_log(self) -> None:
        with suppress(FileNotFoundError), self.place.log_file(self.task.pk).open("rb") as file:
            file.seek(self.read_until)
            data = file.read()
            whole = data.rfind(b"\n") + 1
            self.read_until += whole
            if whole:
                self.log(data[:whole].decode("utf-8", "replace"))

    def _look_whether_it_begins(self, waited: float) -> None:
        with suppress(Error):
            connection.close_if_unusable_or_obsolete()
            found = Task.objects.filter(pk=self.task.pk).first()
            if found and found.state == TaskState.FAILED:
                raise Problem(found.error_id, found.error_message, found.error_hint, blame=Blame.HOST)
        if waited > PATIENCE and not self.warned:
            self.warned = True
            self.say("No worker has begun it yet: is one running? (manage.py doctor)")

    def _wait_until_recorded(self) -> None:
        """Until its task is over too: before that, another update would be refused."""
        deadline = time.monotonic() + RECORDING
        while time.monotonic() < deadline:
            with suppress(Error):
                connection.close_if_unusable_or_obsolete()
                if not Task.objects.unfinished().filter(pk=self.task.pk).exists():
                    return
            time.sleep(INTERVAL)

    @staticmethod
    def _ended(state: State) -> State:
        if state.outcome == states.SUCCEEDED:
            return state
        blame = Blame(state.error_blame) if state.error_blame in {each.value for each in Blame} else Blame.BAKERY
        raise Problem(state.error_id, state.error_message, state.error_hint, blame=blame)
