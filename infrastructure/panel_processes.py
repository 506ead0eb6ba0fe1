"""Bakery's own processes, stopped and started around a change that they must not see half done.

On a server they are units of systemd, on a quickstart programs of its supervisord. Applications run on.
"""

from __future__ import annotations

import time
from typing import Protocol

from infrastructure.errors import HostProblem
from infrastructure.runner import Command, Runner
from infrastructure.supervisor.rpc import ALREADY_STARTED, BAD_NAME, NOT_RUNNING, Supervisor

UNITS = ("bakery.service", "bakery-worker.service", "bakery-beat.service", "bakery-logs.service")
PROGRAMS = ("web", "background")
STOP_SECONDS = 120.0


class PanelProcesses(Protocol):
    how_to_start: str  # what a person types

    def stop(self) -> bool:
        """End them; False when nothing here starts and stops Bakery's processes."""

    def start(self) -> None: ...


class UnderSystemd:
    how_to_start = "systemctl start bakery.target"

    def __init__(self) -> None:
        self._stopped: tuple[str, ...] = ()

    def stop(self) -> bool:
        self._stopped = tuple(unit for unit in UNITS if self._is_there(unit))
        if self._stopped:
            self._systemctl("stop", "--", *self._stopped)
        return bool(self._stopped)

    def start(self) -> None:
        self._systemctl("start", "--", *self._stopped)

    def _is_there(self, unit: str) -> bool:
        show = Command(argv=("systemctl", "show", "--property=LoadState", "--value", "--", unit))
        result = Runner().run(show, check=False)
        return result.exit_code == 0 and result.output.strip() == "loaded"

    @staticmethod
    def _systemctl(*arguments: str) -> None:
        Runner().run(Command(argv=("systemctl", *arguments), timeout=STOP_SECONDS))


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
