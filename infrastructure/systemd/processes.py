"""Bun releases as hardened units of systemd: systemd.exec(5), systemd.resource-control(5)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from string import Template

from infrastructure import launcher
from infrastructure.errors import HostProblem, Problem
from infrastructure.files import write_atomically
from infrastructure.launcher import Launcher
from infrastructure.processes import LaunchFiles, Program
from infrastructure.runner import Command, Runner
from infrastructure.runtime import Observation, ProcessState
from infrastructure.systemd import untrusted

TEMPLATE = Path(__file__).with_name("app.service.template")
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
RELEASE = re.compile(r"^Release=(\d+)$", re.MULTILINE)
KILL_SECONDS = 5.0  # how long the kernel and systemd may take to be done with a SIGKILL
EXITED_BY_ITSELF = "1"  # ExecMainCode: CLD_EXITED of waitid(2)
# (ActiveState, SubState or "") -> what that means; the first row that fits
STATES = (
    ("activating", "", ProcessState.STARTING),
    ("active", "running", ProcessState.RUNNING),
    ("deactivating", "", ProcessState.RUNNING),
    ("failed", "", ProcessState.EXITED),
    ("active", "exited", ProcessState.EXITED),
)


def unit(program: Program, files: LaunchFiles, runs: Launcher, plan: untrusted.Plan) -> str:
    limits = program.launch.confinement
    return Template(TEMPLATE.read_text()).substitute(
        name=program.name,
        release=program.launch.release_id,
        command=_command(runs.argv(files.path(program.name))),
        note=_command(runs.note_argv(files.out_of_memory(program.name))),
        mounts=_quoted(str(files.directory)),
        log=_escaped(str(program.log)),
        grace=max(1, program.grace_seconds),
        memory=limits.memory_bytes,
        cpu=limits.cpu_percent,
        tasks=limits.max_processes,
        hardening=untrusted.FIXED.read_text().strip(),
        view=plan.lines(),
    )


class SystemdProcesses:
    """``home`` is a directory of Bakery's own: for the specs that units are started by, and the launcher that does it.
    ``hidden`` are directories of which a release sees its own parts alone."""

    def __init__(self, home: Path, hidden: Iterable[Path] = (), units: Path = Path("/etc/systemd/system")) -> None:
        self.home = home
        self.files = LaunchFiles(home / "launch", passable=True)
        self.hidden = tuple(hidden)
        self.units = units

    def available(self) -> None:
        state = self._systemctl("is-system-running", check=False)
        if state not in ("running", "degraded", "initializing", "starting", "maintenance"):
            raise HostProblem(
                "systemd.unreachable", f"systemd does not run here ({state}).", "Use BAKERY_PROCESSES=supervisord."
            )

    def start(self, program: Program) -> None:
        self.stop(program.name, program.grace_seconds)
        _make_log(program.log)
        runs = launcher.installed(self.home / "launcher")
        planned = program.launch.confinement
        self.files.directory.mkdir(parents=True, exist_ok=True)
        plan = untrusted.plan(planned, runs, self.files.directory, self.hidden)
        # The unit is the control group and has a /tmp of its own: the launcher has only the uid to change, and to open
        # what lies in a directory that is closed to that uid.
        left = replace(planned, cgroup="", reach=plan.reach)
        self.files.write(replace(program, launch=replace(program.launch, confinement=left)))
        text = unit(program, self.files, runs, plan)
        write_atomically(self._unit(program.name), text)
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--quiet", "--no-reload", "--", f"{program.name}.service")
        try:
            self._systemctl("start", "--", f"{program.name}.service")
        except Problem as problem:
            raise HostProblem(
                "systemd.refused",
                f"systemd could not start {program.name}: {problem.message}",
                f"See systemctl status {program.name} and journalctl -u {program.name}.",
            ) from problem

    def stop(self, name: str, grace_seconds: int) -> None:
        service = f"{name}.service"
        if self._unit(name).exists():
            self._systemctl("disable", "--quiet", "--no-reload", "--", service, check=False)
            self._systemctl("stop", "--no-block", "--", service, check=False)
            if not self._is_down(name, grace_seconds):
                self._systemctl("kill", "--signal=SIGKILL", "--", service, check=False)
                if not self._is_down(name, KILL_SECONDS):
                    raise HostProblem(
                        "systemd.cannot-stop", f"{name} does not end, not even by SIGKILL.", "Restart the host."
                    )
            self._unit(name).unlink(missing_ok=True)
            self._systemctl("daemon-reload")
            self._systemctl("reset-failed", "--", service, check=False)
        self.files.remove(name)

    def observe(self, name: str) -> Observation:
        release, seen = self._release(name), self._show(name)
        if seen.get("LoadState") != "loaded" or release is None:
            return Observation(ProcessState.MISSING)
        ended = seen.get("ExecMainCode") == EXITED_BY_ITSELF and seen.get("SubState") != "running"
        return Observation(
            state=_state(seen),
            release_id=release,
            exit_code=int(seen["ExecMainStatus"]) if ended else None,
            out_of_memory=seen.get("Result") == "oom-kill" or self.files.out_of_memory(name).exists(),
            restarts=int(seen.get("NRestarts") or 0),
            started_at=seen.get("ExecMainStartTimestampMonotonic", ""),
        )

    def log_of(self, name: str) -> Path | None:
        spec = self.files.read(name)
        return Path(spec["log"]) if spec else None

    def _release(self, name: str) -> int | None:
        """Out of its unit, which everybody may read: who observes need not be root."""
        try:
            found = RELEASE.search(self._unit(name).read_text())
        except FileNotFoundError:
            return None
        return int(found[1]) if found else None

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


def _make_log(log: Path) -> None:
    """systemd would make it root's alone. The directory hands its group on to it, which the log's collector is in."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    log.touch()
    log.chmod(0o660)


def _state(seen: dict[str, str]) -> ProcessState:
    for active, sub, state in STATES:
        if seen.get("ActiveState") == active and sub in ("", seen.get("SubState")):
            return state
    return ProcessState.STOPPED


def _escaped(text: str) -> str:
    """Unit files expand ``%`` specifiers."""
    return text.replace("%", "%%")


def _quoted(part: str) -> str:
    """One word of ExecStart= or ReadWritePaths=, systemd.syntax(7)."""
    return '"' + _escaped(part).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _command(argv: list[str]) -> str:
    """The colon: no ``$`` in it is a variable (systemd.service(5))."""
    return " ".join(_quoted(part) for part in (f":{argv[0]}", *argv[1:]))
