"""A worker's turn at updates: start what was asked for, bring the feed to what the state files say.

The update itself is a unit of its own and outlives this worker. Whatever is cut off here is found again by the next
turn, which beat calls every few seconds.
"""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from bakery.events import announce
from bakery.models import Task, TaskKind, TaskState
from bakery.updates.adoption import Adopter
from bakery.updates.requests import place
from infrastructure.errors import HostProblem, Problem
from infrastructure.lock import held_alone
from infrastructure.runner import Runner
from infrastructure.update import starting
from infrastructure.update import state as states
from infrastructure.update.place import Place
from infrastructure.update.running import prepare
from infrastructure.update.state import State

TURN_SECONDS = 4.5  # a little less than beat's interval: while an update runs its log is followed all the time
LOOK_SECONDS = 0.4
BEGINS_WITHIN = 900.0  # seconds
logger = logging.getLogger(__name__)


def tend(seconds: float = TURN_SECONDS) -> None:
    if not settings.BAKERY.install_dir:
        return
    server = place()
    prepare(server)
    with held_alone(server.states / "tending") as mine:  # a second turn has nothing to do
        if not mine:
            return
        adopter = Adopter(server)
        deadline = time.monotonic() + seconds
        while True:
            _start_what_waits(server)
            running = adopter.adopt_all()
            if not running or time.monotonic() > deadline:
                return
            time.sleep(LOOK_SECONDS)


def _start_what_waits(server: Place) -> None:
    """A queued task, one whose worker died before it had started the unit, and an updater that ended before its end."""
    for task in Task.objects.unfinished().filter(kind=TaskKind.UPDATE):
        state = states.read(server.state_file(task.pk))
        if state is None:
            state = State(
                task=task.pk,
                ref=task.ref,
                requested_by=task.requested_by.email if task.requested_by else "",
                requested_at=task.created_at.isoformat(),
            )
            states.write(server.state_file(task.pk), state)
        if task.state == TaskState.QUEUED:
            begun = {"state": TaskState.RUNNING, "started_at": timezone.now(), "attempts": 1}
            Task.objects.filter(pk=task.pk, state=TaskState.QUEUED).update(**begun)
            announce("task", task.pk)
        _start(server, task.pk)


def _start(server: Place, task: int) -> None:
    """Unless it runs, or has ended. Nobody else writes the state while it does not run."""
    runner = Runner()
    state = None
    try:
        if starting.is_running(runner):
            return
        state = states.read(server.state_file(task))
        if state is None or state.is_finished:
            return
        if state.attempts == 0 and _age(state) > BEGINS_WITHIN:
            raise HostProblem(
                "update.cannot-start",
                "The updater was started again and again, and never began.",
                "See journalctl -u bakery-update.",
            )
        starting.start(server, task, runner)
    except Problem as problem:
        logger.error("The update %s could not be started: %s", task, problem)
        state = state or states.read(server.state_file(task))
        if state and state.attempts == 0:  # nothing has happened: said, and over
            state.fail(problem)
            state.outcome, state.ended_at = states.FAILED, states.now()
            states.write(server.state_file(task), state)


def _age(state: State) -> float:
    asked = parse_datetime(state.requested_at)
    return (timezone.now() - asked).total_seconds() if asked else 0.0
