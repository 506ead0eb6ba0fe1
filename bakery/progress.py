"""How far a task is: its recorded steps as phases with their commands, beside the phases that are still to come."""

from __future__ import annotations

from dataclasses import dataclass, field

from bakery.models import ABOUT_DATABASES, Task, TaskKind, TaskState, TaskStep
from bakery.phases import EXPECTED, doing_of, name_of


@dataclass
class Phase:
    """A phase with the commands that ran in it. ``step`` is None for one that has not begun; ``kind`` is the task's."""

    kind: str
    key: str  # what the story calls it
    step: TaskStep | None = None
    commands: list[TaskStep] = field(default_factory=list)

    @property
    def state(self) -> str:
        """A key for the stepper: done, now, failed, or empty for what is still to come."""
        if self.step is None:
            return ""
        if self.step.state == TaskState.SUCCEEDED:
            return "done"
        return "now" if self.step.state == TaskState.RUNNING else "failed"

    @property
    def name(self) -> str:
        return name_of(self.kind, self.key)

    @property
    def doing(self) -> str:
        return doing_of(self.kind, self.key)


@dataclass
class Progress:
    phases: list[Phase]  # as they happened
    stepper: list[Phase]  # the expected ones, with how far each is
    done: int
    total: int
    doing: str


def phases_of(task: Task) -> list[Phase]:
    phases: list[Phase] = []
    for step in task.steps.all():
        if step.argv is None:
            phases.append(Phase(task.kind, step.phase, step))
        elif phases and phases[-1].key == step.phase:
            phases[-1].commands.append(step)
        else:  # before the first phase, or after a worker took over in the middle of one
            phases.append(Phase(task.kind, step.phase, None, [step]))
    return phases


def progress_of(task: Task) -> Progress:
    """Reads ``task.steps.all()``: prefetch it for lists."""
    phases = phases_of(task)
    latest = {phase.key: phase for phase in phases if phase.step}
    expected = () if task.settles_a_restore else EXPECTED.get(TaskKind(task.kind), ())
    if phases and not any(phase.key in expected for phase in phases):
        expected = ()  # it goes another way: a database elsewhere is only looked at
    stepper = [latest.get(key, Phase(task.kind, key)) for key in expected]
    done = sum(phase.state == "done" for phase in stepper)
    if task.state == TaskState.SUCCEEDED:
        done = len(stepper)
    running = [phase for phase in phases if phase.state == "now"]
    doing = running[-1].doing if running else _between(task, latest)
    return Progress(phases, stepper, done, max(len(stepper), 1), doing)


def _between(task: Task, latest: dict[str, Phase]) -> str:
    """What is said while no phase is under way."""
    if task.state == TaskState.QUEUED:
        return "Waiting for its turn" if task.kind in ABOUT_DATABASES else "Waiting for a worker"
    if task.kind == TaskKind.ROTATE_PASSWORD and "switch" in latest and "end the old one" not in latest:
        return "Waiting until what uses it has restarted"
    return "Working"
