"""Bakery's own processes, stopped and started around a change that they must not see half done.

On a server they are units of systemd, on a quickstart programs of its supervisord. Applications run on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from infrastructure.errors import HostProblem
from infrastructure.runner import Runner
from infrastructure.supervisor.rpc import ALREADY_STARTED, BAD_NAME, NOT_RUNNING, Supervisor
from infrastructure.systemd.bakery_units import TARGET
from infrastructure.update.services import Services, own_services

PROGRAMS = ("web", "background")
STOP_SECONDS = 120.0


class PanelProcesses(Protocol):
    how_to_start: str  # what a person types

    def stop(self) -> bool:
        """End them; False when nothing here starts and stops Bakery's processes."""

    def start(self) -> None: ...


class UnderSystemd:
    how_to_start = f"systemctl start {TARGET}"

    def __init__(self, units: Path = Path("/etc/systemd/system")) -> None:
        self.units = units
        self.services = Services(units, Runner())

    def stop(self) -> bool:
        if not own_services(self.units):
            return False
        self.services.pause()
        return True

    def start(self) -> None:
        self.services.start()


class UnderSupervisord:
    how_to_start = "infrastructure/scripts/quickstart.sh --detach"

    def __init__(self, url: str) -> None:
        self.supervisor = Supervisor(url)

    def stop(self) -> bool:
        try:
            for name in PROGRAMS:
                self.supervisor.call("stopProcess", name, False, ignore=(NOT_RUNNING, BAD_NAME))
        except HostProblem:  # supervisord is not running, so nothing that it started is
            return False
        deadline = time.monotonic() + STOP_SECONDS
        while running := [name for name in PROGRAMS if self._state(name) not in ("STOPPED", "EXITED", "FATAL")]:
            if time.monotonic() > deadline:
                raise HostProblem(
                    "panel.does-not-stop", f"Bakery's {' and '.join(running)} did not stop.", "End it, then try again."
                )
            time.sleep(0.1)
        return True

    def start(self) -> None:
        for name in PROGRAMS:
            self.supervisor.call("startProcess", name, False, ignore=(ALREADY_STARTED, BAD_NAME))

    def _state(self, name: str) -> str:
        info = self.supervisor.call("getProcessInfo", name, ignore=(BAD_NAME,))
        return str(info["statename"]) if info else "STOPPED"


def panel_processes(processes: str, supervisor_url: str) -> PanelProcesses:
    """``processes``: “systemd” or “supervisord”."""
    return UnderSystemd() if processes == "systemd" else UnderSupervisord(supervisor_url)
