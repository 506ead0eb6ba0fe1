"""What the quickstart asks of the instance's supervisord."""

from __future__ import annotations

import time
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.supervisor.rpc import ALREADY_STARTED, NOT_RUNNING, PREFIX, SHUTDOWN_STATE, Supervisor

ENDED_STATES = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
FAILED_STATES = ("FATAL", "BACKOFF", "EXITED")


class Supervisord:
    """Raises ``HostProblem`` ``supervisor.unreachable`` when nobody listens."""

    def __init__(self, socket: Path) -> None:
        self._supervisor = Supervisor(f"{PREFIX}{socket}")

    def is_listening(self) -> bool:
        try:
            return self._supervisor.call("getPID", ignore=(SHUTDOWN_STATE,)) is not None
        except HostProblem:
            return False

    def start(self, name: str) -> None:
        self._supervisor.call("startProcess", name, False, ignore=(ALREADY_STARTED,))

    def stop(self, name: str, *, wait: bool = True) -> None:
        self._supervisor.call("stopProcess", name, wait, ignore=(NOT_RUNNING, SHUTDOWN_STATE))

    def states(self) -> dict[str, str]:
        """Name of each program -> its state in supervisord's words."""
        return {str(row["name"]): str(row["statename"]) for row in self._supervisor.call("getAllProcessInfo")}

    def shutdown(self) -> None:
        self._supervisor.call("shutdown", ignore=(SHUTDOWN_STATE,))


def wait_until_listening(socket: Path, printed: Path, seconds: float = 20.0) -> Supervisord:
    """``printed`` is where supervisord says what is wrong with its configuration."""
    control = Supervisord(socket)
    deadline = time.monotonic() + seconds
    while not control.is_listening():
        if time.monotonic() > deadline:
            said = printed.read_text(errors="replace").strip()[-1000:] if printed.exists() else ""
            raise HostProblem(
                "quickstart.supervisord-silent",
                f"supervisord did not answer within {seconds:g} s. {said}".strip(),
                "Its log is logs/supervisord.log in the data directory.",
            )
        time.sleep(0.05)
    return control
