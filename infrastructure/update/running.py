"""The process that updates: one at a time, begun again by systemd when it is killed."""

from __future__ import annotations

import signal
from contextlib import suppress
from types import FrameType

import psycopg

from infrastructure.errors import Blame, HostProblem, Problem
from infrastructure.files import make_directory
from infrastructure.lock import held_alone
from infrastructure.runner import Runner
from infrastructure.secret import Masker
from infrastructure.update import state as states
from infrastructure.update.journal import Journal
from infrastructure.update.mirror import Mirror
from infrastructure.update.place import Place
from infrastructure.update.state import State
from infrastructure.update.story import MOST_ATTEMPTS, Update

KEPT = 20  # state files and logs


class Interrupted(Problem):
    """Somebody stopped the updater, or the host is going down."""

    def __init__(self) -> None:
        super().__init__(
            "update.interrupted",
            "The update was cut off before its end.",
            "Update again.",
            blame=Blame.HOST,
        )


def run(place: Place, task: int, *, booting: bool = False) -> int:
    """Carry the update of this task out, or put back what an earlier process left. Returns the exit code; another one
    than 0 has systemd begin it again."""
    prepare(place)
    with held_alone(place.lock) as alone:
        state = states.read(place.state_file(task)) if alone else None
        if state is None or state.is_finished:
            return 0
        handler = signal.signal(signal.SIGTERM, _interrupt)
        journal = _journal(place, state)
        update = Update(place, journal, Runner(recorder=journal, masker=journal.masker))
        try:
            return _go(update, state, booting=booting)
        finally:
            journal.close()
            signal.signal(signal.SIGTERM, handler)


def _go(update: Update, state: State, *, booting: bool) -> int:
    state.attempts += 1
    state.started_at = state.started_at or states.now()
    state.close_open_steps("The process that was at it is gone.")
    update.journal.save()
    if "verified" in state.did:
        update.finish()
        return 0
    try:
        if state.attempts > 1 or booting:
            raise Interrupted
        update.go_forward()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the old version has to run again
        problem = _as_problem(error)
        state.fail(problem)
        update.journal.say(f"✗ {problem.message}")
        update.journal.save()
        return _put_back(update, state, booting=booting)
    update.finish()
    return 0


def _put_back(update: Update, state: State, *, booting: bool) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is being put back already; SIGKILL is made up for
    try:
        update.put_back(booting=booting)
    except Exception as error:  # noqa: BLE001 - said, and tried again
        problem = _as_problem(error)
        update.journal.say(f"✗ Putting back: {problem.message}")
        update.journal.save()
        if state.attempts >= MOST_ATTEMPTS:
            update.give_up(problem)
            return 0
        return 1
    return 0


def recover(place: Place) -> int:
    """At boot, before Bakery starts: put back what an update left that the reboot cut off. (While an update runs the
    target is started as well, and this with it: it then finds the lock taken.)"""
    left = [state for state in states.all_states(place.states) if not state.is_finished]
    return max((run(place, state.task, booting=True) for state in left), default=0)


def prepare(place: Place) -> None:
    """Everybody may read how far an update is: nothing in it is secret."""
    make_directory(place.states, 0o755)
    make_directory(place.update_logs, 0o755)


def forget_old(place: Place, kept: int = KEPT) -> None:
    finished = [state for state in states.all_states(place.states) if state.is_finished]
    for state in finished[:-kept]:
        for file in (place.log_file(state.task), place.state_file(state.task)):
            file.unlink(missing_ok=True)


def _journal(place: Place, state: State) -> Journal:
    masker = Masker(place.secrets())
    with suppress(Problem):  # fetching says it
        masker = Masker([*place.secrets(), *Mirror(place.mirror, Runner()).passwords()])
    return Journal(place.state_file(state.task), state, place.log_file(state.task), masker)


def _as_problem(error: BaseException) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, psycopg.OperationalError):
        return HostProblem("update.no-database", "PostgreSQL does not answer.", "Start it: systemctl start postgresql.")
    if isinstance(error, OSError):
        return HostProblem("update.files", f"A file could not be written: {error}", "Look at disk and permissions.")
    return Problem("bakery.bug", f"{type(error).__name__}: {error}"[:500], "The log says more.", blame=Blame.BAKERY)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted
