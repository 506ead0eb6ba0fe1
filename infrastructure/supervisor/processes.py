"""Bun releases as programs of the supervisord that also runs Bakery.

Each has one file in ``conf.d``, which supervisord includes: so what runs comes back when supervisord is restarted,
and what was stopped, whose file is gone, does not.
"""

from __future__ import annotations

import os
import re
import signal
import time
import xmlrpc.client
from contextlib import suppress
from pathlib import Path
from typing import Any

from infrastructure import cgroups
from infrastructure.confinement import launch_argv
from infrastructure.errors import HostProblem
from infrastructure.files import write_atomically
from infrastructure.process_groups import group_is_alive
from infrastructure.processes import LaunchFiles, Program
from infrastructure.runtime import Observation, ProcessState
from infrastructure.supervisor import rpc

# http://supervisord.org/subprocess.html#process-states
STATES = {
    0: ProcessState.STOPPED,
    10: ProcessState.STARTING,
    20: ProcessState.RUNNING,
    30: ProcessState.STARTING,  # BACKOFF: ended at once, is tried again
    40: ProcessState.RUNNING,  # STOPPING
    100: ProcessState.EXITED,
    200: ProcessState.EXITED,  # FATAL: ended at once too often
}
RUNNING_CODES = (10, 20, 30, 40)
LOG_TAIL_BYTES = 16 * 1024
KILL_SECONDS = 5.0  # how long the kernel and supervisord may take to be done with a SIGKILL


def configuration(program: Program, spec: Path) -> str:
    """The program's ini file. supervisord expands ``%`` in values and splits the command with shlex."""
    command = " ".join(_quoted(part) for part in launch_argv(spec))
    lines = [
        f"[program:{program.name}]",
        f"command={command}",
        "directory=/",
        "autostart=true",
        "autorestart=true",
        "startsecs=1",
        "startretries=3",
        "stopsignal=TERM",
        f"stopwaitsecs={program.grace_seconds}",
        "stopasgroup=true",
        "killasgroup=true",
        "redirect_stderr=true",
        f"stdout_logfile={_plain(str(program.log))}",
        "stdout_logfile_maxbytes=16MB",
        "stdout_logfile_backups=2",
        "priority=500",  # after everything of Bakery
    ]
    return "\n".join(lines) + "\n"


class SupervisorProcesses:
    def __init__(self, url: str, conf_d: Path, launches: Path) -> None:
        self.supervisor = rpc.Supervisor(url)
        self.conf_d = conf_d
        self.files = LaunchFiles(launches)

    def available(self) -> None:
        self.supervisor.call("getState")

    def start(self, program: Program) -> None:
        self.stop(program.name, program.grace_seconds)
        program.log.parent.mkdir(parents=True, exist_ok=True)
        spec = self.files.write(program)
        self.conf_d.mkdir(parents=True, exist_ok=True)
        write_atomically(self._ini(program.name), configuration(program, spec), mode=0o600)
        try:
            self.supervisor.call("reloadConfig")
            self.supervisor.call("addProcessGroup", program.name, ignore=(rpc.ALREADY_ADDED,))
            # supervisord would start it within its next second; this is at once.
            self.supervisor.call("startProcess", program.name, False, ignore=(rpc.ALREADY_STARTED,))
        except xmlrpc.client.Fault as fault:
            raise HostProblem(
                "supervisor.refused",
                f"supervisord could not start {program.name}: {fault.faultString}.",
                "See supervisord.log in the logs directory.",
            ) from fault

    def stop(self, name: str, grace_seconds: int) -> None:
        # The file goes first: whatever happens from here on, no restart of supervisord brings the program back.
        self._ini(name).unlink(missing_ok=True)
        spec = self.files.read(name)
        if info := self._info(name):
            self._end(name, info, grace_seconds)
        if spec:
            cgroups.end(spec["confinement"]["cgroup"])
        if info:
            self._forget(name)
        self.files.remove(name)

    def observe(self, name: str) -> Observation:
        spec, info = self.files.read(name), self._info(name)
        if info is None:
            return Observation(ProcessState.MISSING)
        starts = self.files.starts(name)
        ended = info["stop"] > 0 and info["state"] not in (20, 40)
        return Observation(
            state=STATES.get(info["state"], ProcessState.EXITED),
            release_id=spec["release_id"] if spec else None,
            exit_code=self._exit_code(name) if ended else None,
            out_of_memory=bool(spec and cgroups.oom_kills(spec["confinement"]["cgroup"])),
            restarts=max(0, len(starts) - 1),
            started_at=starts[-1] if starts else "",
        )

    def log_of(self, name: str) -> Path | None:
        spec = self.files.read(name)
        return Path(spec["log"]) if spec else None

    def _ini(self, name: str) -> Path:
        return self.conf_d / f"{name}.ini"

    def _info(self, name: str) -> dict[str, Any] | None:
        info: dict[str, Any] | None = self.supervisor.call("getProcessInfo", name, ignore=(rpc.BAD_NAME,))
        return info

    def _exit_code(self, name: str) -> int | None:
        """Of the last time that it ended. supervisord forgets the code of what ended at once, but for its log."""
        log: str = self.supervisor.call("readLog", -LOG_TAIL_BYTES, 0)
        codes = re.findall(rf"exited: {re.escape(name)} \(exit status (\d+);", log)
        return int(codes[-1]) if codes else None

    def _end(self, name: str, info: dict[str, Any], grace_seconds: float) -> None:
        """SIGTERM to its process group, and wait for all of it: supervisord looks at the first process alone."""
        pid = info["pid"]
        if info["state"] in RUNNING_CODES:
            self.supervisor.call("stopProcess", name, False, ignore=(rpc.NOT_RUNNING,))
        if pid and not _wait(lambda: not group_is_alive(pid), grace_seconds):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        if not _wait(lambda: not self._is_running(name), KILL_SECONDS):
            raise HostProblem(
                "supervisor.cannot-stop", f"{name} does not end, not even by SIGKILL.", "Restart the host."
            )

    def _is_running(self, name: str) -> bool:
        info = self._info(name)
        return info is not None and info["state"] in RUNNING_CODES

    def _forget(self, name: str) -> None:
        # STILL_RUNNING: supervisord has not looked yet. Its answer to the next call is one look later.
        for _ in range(50):
            try:
                self.supervisor.call("removeProcessGroup", name, ignore=(rpc.BAD_NAME,))
                return
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != rpc.STILL_RUNNING:
                    raise
                time.sleep(0.05)


def _wait(is_done: Any, seconds: float) -> bool:
    """Whether ``is_done()`` came true in time; asked more and more rarely."""
    deadline, pause = time.monotonic() + seconds, 0.005
    while not is_done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return True


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(part: str) -> str:
    return '"' + _plain(part).replace("\\", "\\\\").replace('"', '\\"') + '"'
