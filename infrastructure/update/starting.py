"""Starts the updater as a transient unit of systemd's: restarting Bakery does not end it. systemd-run(1)."""

from __future__ import annotations

from infrastructure.errors import HostProblem
from infrastructure.runner import Command, CommandFailed, Runner
from infrastructure.update.place import Place
from infrastructure.update.services import UPDATER
from infrastructure.version_file import SHORT

# Killed, it is started again and puts back what it had changed; a failed update is no failure of the process.
# It may take long to put back when it is told to stop.
PROPERTIES = (
    "Restart=on-failure",
    "RestartSec=2",
    "StartLimitIntervalSec=600",
    "StartLimitBurst=5",
    "TimeoutStopSec=600",
    "OOMScoreAdjust=-500",
)
GOES_ON = ("active", "activating", "deactivating", "reloading")


def command(place: Place, release: str, task: int) -> Command:
    properties = tuple(f"--property={line}" for line in PROPERTIES)
    script = place.releases / release / "infrastructure" / "scripts" / "update.sh"
    unit = (f"--unit={UPDATER}", "--description=Bakery: updates itself", "--collect", "--quiet")
    return Command(("systemd-run", *unit, *properties, "--", str(script), "run", str(task)), timeout=60)


def start(place: Place, task: int, runner: Runner) -> None:
    """Unless it is running. It runs out of the release that is current now, whatever becomes of the link."""
    if is_running(runner):
        return
    try:
        runner.run(command(place, _updating_release(place), task))
    except CommandFailed as failure:
        if is_running(runner):  # somebody else was a moment quicker
            return
        raise HostProblem(
            "update.cannot-start", f"systemd could not start the update: {failure.message}", "See journalctl."
        ) from failure


def is_running(runner: Runner) -> bool:
    asked = Command(("systemctl", "show", "--property=ActiveState", "--", f"{UPDATER}.service"), timeout=30)
    return runner.run(asked).output.strip().partition("=")[2] in GOES_ON


def _updating_release(place: Place) -> str:
    """The one that had begun, if one was cut off: the current one may be new and broken."""
    if place.updating.is_symlink():
        return place.updating.readlink().name
    return place.running().sha[:SHORT]
