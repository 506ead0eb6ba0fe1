"""How far a task is: its recorded steps as phases with their commands, beside the phases that are still to come."""

from __future__ import annotations

from dataclasses import dataclass, field

from bakery.models import Task, TaskKind, TaskState, TaskStep

# The phases that every task of a kind goes through, in the order of the story. Others (a pre-deploy command, retiring
# the old release) come only sometimes: they are listed when they happen, and are no part of the count.
EXPECTED = {
    TaskKind.DEPLOY: ("fetch", "build", "start", "probe", "switch", "drain"),
    TaskKind.ROLLBACK: ("start", "probe", "switch", "drain"),
    TaskKind.RESTART: ("start", "probe", "switch", "drain"),
    TaskKind.START: ("start", "probe", "switch"),
    TaskKind.STOP: ("unroute", "drain", "stop"),
    TaskKind.DELETE: ("unroute", "remove processes, containers and images", "remove files"),
    TaskKind.APPLY_ROUTES: ("apply routes",),
    TaskKind.CERTIFICATE: ("check DNS", "issue", "install certificate", "serve", "verify TLS"),
    TaskKind.UPDATE: ("fetch", "check", "install", "pause", "back up", "migrate", "activate", "start", "verify"),
    TaskKind.CREATE_DATABASE: ("Making the roles", "Making the database", "Signing in"),
    TaskKind.ROTATE_PASSWORD: ("prepare", "switch", "end the old one"),
    TaskKind.BACK_UP: ("dump", "list"),
    TaskKind.RESTORE: ("make a new database", "fill it", "look at it", "swap"),
    TaskKind.TEST_RESTORE: ("open", "restore", "compare"),
    TaskKind.FETCH_BACKUP: ("bring back",),
    TaskKind.CLONE_DATABASE: ("dump", "make a new database", "fill it", "look at it", "swap"),
    TaskKind.DROP_DATABASE: ("drop",),
}
DOING = {
    "fetch": "Fetching the commit",
    "build": "Building",
    "pre-deploy": "Running the pre-deploy command",
    "start": "Starting the release",
    "probe": "Waiting for it to answer",
    "switch": "Switching requests over",
    "drain": "Watching the new release",
    "retire": "Ending the old release",
    "prune": "Letting go of old releases",
    "unroute": "Taking it off the web server",
    "apply routes": "Telling the web server its names",
    "stop": "Ending its processes",
    "check": "Looking whether it can run here",
    "install": "Installing the new version beside the old one",
    "pause": "Pausing Bakery; sites go on",
    "back up": "Backing up the database",
    "migrate": "Migrating the database",
    "activate": "Making it the current version",
    "verify": "Waiting for every part to be well",
    "check DNS": "Looking which names are ready",
    "issue": "Proving the names to the certificate authority",
    "install certificate": "Putting it where the web server reads it",
    "serve": "Telling the web server which names have HTTPS",
    "verify TLS": "Looking whether it is served",
    "remove certificate": "Taking it away",
    "put back": "Putting the old version back",
    "dump": "Reading the database",
    "list": "Looking whether the dump is whole",
    "copy": "Copying the backup to the storage",
    "tidy": "Letting go of what the plan does not keep",
    "open": "Fetching and checking the backup",
    "restore": "Restoring it into a scratch database",
    "bring back": "Fetching the backup from the storage",
    "compare": "Comparing tables and rows",
    "unpack": "Unpacking the dump",
    "make a new database": "Making a database beside it",
    "fill it": "Restoring into that",
    "look at it": "Looking what is in it",
    "prepare": "Giving the other role a new password",
    "end the old one": "Ending the old password",
    "drop": "Dropping the database and its roles",
    "drop the old database": "Dropping the database as it was before",
    "drop what was restored": "Dropping what had been restored",
}


@dataclass
class Phase:
    """A phase with the commands that ran in it. ``step`` is None for one that has not begun."""

    name: str
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
    def doing(self) -> str:
        return DOING.get(self.name, self.name.capitalize())


@dataclass
class Progress:
    phases: list[Phase]  # as they happened
    stepper: list[Phase]  # the expected ones, with how far each is
    done: int
    total: int
    doing: str


def phases_of(steps: list[TaskStep]) -> list[Phase]:
    phases: list[Phase] = []
    for step in steps:
        if step.argv is None:
            phases.append(Phase(step.phase, step))
        elif phases and phases[-1].name == step.phase:
            phases[-1].commands.append(step)
        else:  # before the first phase, or after a worker took over in the middle of one
            phases.append(Phase(step.phase, None, [step]))
    return phases


def progress_of(task: Task) -> Progress:
    """Reads ``task.steps.all()``: prefetch it for lists."""
    phases = phases_of(list(task.steps.all()))
    latest = {phase.name: phase for phase in phases if phase.step}
    expected = () if task.settles_a_restore else EXPECTED.get(TaskKind(task.kind), ())
    if phases and not any(phase.name in expected for phase in phases):
        expected = ()  # it goes another way: a database elsewhere is only looked at
    stepper = [latest.get(name, Phase(name)) for name in expected]
    done = sum(phase.state == "done" for phase in stepper)
    if task.state == TaskState.SUCCEEDED:
        done = len(stepper)
    running = [phase for phase in phases if phase.state == "now"]
    waiting = "Waiting for a worker" if task.state == TaskState.QUEUED else "Working"
    return Progress(phases, stepper, done, max(len(stepper), 1), running[-1].doing if running else waiting)
