"""Bun releases as hardened units of systemd: systemd.exec(5), systemd.resource-control(5)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from string import Template

from infrastructure.confinement import launch_argv
from infrastructure.errors import HostProblem
from infrastructure.files import write_atomically
from infrastructure.processes import LaunchFiles, Program
from infrastructure.runner import Command, Runner
from infrastructure.runtime import Observation, ProcessState

TEMPLATE = Path(__file__).with_name("app.service.template")
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainCode",
    "ExecMainStatus",
    "NRestarts",
    "ExecMainStartTimestampMonotonic",
)
EXITED_BY_ITSELF = "1"  # ExecMainCode: CLD_EXITED of waitid(2)
# (ActiveState, SubState or "") -> what that means; the first row that fits
STATES = (
    ("activating", "", ProcessState.STARTING),
    ("active", "running", ProcessState.RUNNING),
    ("deactivating", "", ProcessState.RUNNING),
    ("failed", "", ProcessState.EXITED),
    ("active", "exited", ProcessState.EXITED),
)


def unit(program: Program, spec: Path, writable: tuple[Path, ...]) -> str:
    limits = program.launch.confinement
    at_home = any(home in path.parents for home in HOMES for path in writable)
    return Template(TEMPLATE.read_text()).substitute(
        name=program.name,
        command=" ".join(_quoted(part) for part in launch_argv(spec)),
        log=_escaped(str(program.log)),
        grace=max(1, program.grace_seconds),
        memory=limits.memory_bytes,
        cpu=limits.cpu_percent,
        tasks=limits.max_processes,
        writable=" ".join(_quoted(str(path)) for path in writable),
        # Where the data directory lies below a home, hiding homes would hide it as well.
        home="read-only" if at_home else "yes",
    )


class SystemdProcesses:
    def __init__(self, launches: Path, units: Path = Path("/etc/systemd/system")) -> None:
        self.files = LaunchFiles(launches)
        self.units = units

    def available(self) -> None:
        state = self._systemctl("is-system-running", check=False)
        if state not in ("running", "degraded", "starting", "maintenance"):
            raise HostProblem(
                "systemd.unreachable", f"systemd does not run here ({state}).", "Use BAKERY_PROCESSES=supervisord."
            )

    def start(self, program: Program) -> None:
        self.stop(program.name, program.grace_seconds)
        program.log.parent.mkdir(parents=True, exist_ok=True)
        # The unit is the control group and the namespace: the launcher has only the uid to change.
        bare = replace(program.launch.confinement, cgroup="", reach=())
        spec = self.files.write(replace(program, launch=replace(program.launch, confinement=bare)))
        writable = (self.files.directory, *(Path(path) for path in program.launch.confinement.reach))
        write_atomically(self._unit(program.name), unit(program, spec, writable))
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--quiet", "--", f"{program.name}.service")
        self._systemctl("start", "--", f"{program.name}.service")

    def stop(self, name: str, grace_seconds: int) -> None:
        service = f"{name}.service"
        if self._unit(name).exists():
            self._systemctl("disable", "--quiet", "--", service, check=False)
            self._systemctl("stop", "--no-block", "--", service, check=False)
            if not self._is_down(name, grace_seconds):
                self._systemctl("kill", "--signal=SIGKILL", "--", service, check=False)
                self._is_down(name, 5)
            self._unit(name).unlink(missing_ok=True)
            self._systemctl("daemon-reload")
            self._systemctl("reset-failed", "--", service, check=False)
        self.files.remove(name)

    def observe(self, name: str) -> Observation:
        spec, seen = self.files.read(name), self._show(name)
        if seen.get("LoadState") != "loaded" or spec is None:
            return Observation(ProcessState.MISSING)
        ended = seen.get("ExecMainCode") == EXITED_BY_ITSELF and seen.get("SubState") != "running"
        return Observation(
            state=_state(seen),
            release_id=spec["release_id"],
            exit_code=int(seen["ExecMainStatus"]) if ended else None,
            out_of_memory=seen.get("Result") == "oom-kill",
            restarts=int(seen.get("NRestarts") or 0),
            started_at=seen.get("ExecMainStartTimestampMonotonic", ""),
        )

    def log_of(self, name: str) -> Path | None:
        spec = self.files.read(name)
        return Path(spec["log"]) if spec else None

    def _unit(self, name: str) -> Path:
        return self.units / f"{name}.service"

    def _is_down(self, name: str, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._show(name).get("ActiveState") not in ("inactive", "failed", None):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        return True

    def _show(self, name: str) -> dict[str, str]:
        text = self._systemctl("show", f"--property={','.join(PROPERTIES)}", "--", f"{name}.service")
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def _systemctl(self, *arguments: str, check: bool = True) -> str:
        command = Command(argv=("systemctl", "--no-pager", *arguments), timeout=60)
        return Runner().run(command, check=check).output.strip()


def _state(seen: dict[str, str]) -> ProcessState:
    for active, sub, state in STATES:
        if seen.get("ActiveState") == active and sub in ("", seen.get("SubState")):
            return state
    return ProcessState.STOPPED


def _escaped(text: str) -> str:
    """Unit files expand ``%`` specifiers; in ExecStart= also ``$``."""
    return text.replace("%", "%%")


def _quoted(part: str) -> str:
    """One word of ExecStart= or ReadWritePaths=, systemd.syntax(7)."""
    return '"' + _escaped(part).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$") + '"'
