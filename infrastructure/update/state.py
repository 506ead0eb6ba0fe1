"""How far an update is, in a file of its own: the database that the activity feed lives in may be put back meanwhile.

Written whole after each change (``files.write_atomically``). What is about to be changed is noted in ``did`` *before*
it is changed, so that after a kill -9 or a power cut it is known what has to be put back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from infrastructure.errors import Problem
from infrastructure.files import read_if_there, write_atomically

RUNNING, SUCCEEDED, FAILED = "running", "succeeded", "failed"  # of a step, as the activity feed calls them


@dataclass
class Step:
    phase: str
    argv: list[str] | None = None  # masked; None: the phase itself
    state: str = RUNNING
    exit_code: int | None = None
    note: str = ""
    started_at: str = ""
    ended_at: str = ""


@dataclass
class State:
    task: int
    ref: str = ""  # "": the newest
    requested_by: str = ""  # e-mail address; "": the shell
    requested_at: str = ""
    old: str = ""  # full SHA
    old_date: str = ""
    new: str = ""
    new_date: str = ""
    backup: str = ""  # directory
    did: list[str] = field(default_factory=list)  # paused, database, units, link, verified
    attempts: int = 0  # how many processes began with it
    steps: list[Step] = field(default_factory=list)
    outcome: str = ""  # "", succeeded, failed
    error_id: str = ""
    error_message: str = ""
    error_hint: str = ""
    error_blame: str = ""
    started_at: str = ""
    ended_at: str = ""

    @property
    def is_finished(self) -> bool:
        return bool(self.outcome)

    def fail(self, problem: Problem) -> None:
        """Only the first failure counts: what follows it is about putting back."""
        if not self.error_id:
            self.error_id, self.error_message = problem.id, problem.message
            self.error_hint, self.error_blame = problem.hint, problem.blame.value

    def close_open_steps(self, note: str) -> None:
        for step in self.steps:
            if step.state == RUNNING:
                step.state, step.note, step.ended_at = FAILED, note, now()


def now() -> str:
    return datetime.now(timezone.utc).isoformat()


def read(file: Path) -> State | None:
    """None: there is no such file, or not a whole one. Unknown fields are another version's, and are left out."""
    try:
        values: dict[str, Any] = json.loads(read_if_there(file) or "")
        steps = [Step(**_known(Step, step)) for step in values.pop("steps", [])]
        return State(**_known(State, values), steps=steps)
    except (ValueError, TypeError, AttributeError):
        return None


def write(file: Path, state: State) -> None:
    write_atomically(file, json.dumps(asdict(state), indent=1, ensure_ascii=False) + "\n")


def all_states(directory: Path) -> list[State]:
    """Oldest first."""
    files = [file for file in directory.glob("*.json") if file.stem.isdecimal()]
    found = (read(file) for file in sorted(files, key=lambda file: int(file.stem)))
    return [state for state in found if state]


def _known(kind: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}
