"""The running Nginx: which configuration it works with, and how it is brought to take another one."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.nginx.prefix import Prefix

APPLY_SECONDS = 30.0  # 1,000 certificates take 1.2 s on two cores
START_SECONDS = 5.0  # a supervisor starts a killed one again within one or two
LOOK_EVERY = 0.02


@dataclass(frozen=True)
class Master:
    prefix: Prefix
    error_log: Path

    def pid(self) -> int | None:
        """The master's, if it runs: the file outlives a kill -9, and its number may be another program's by now."""
        try:
            pid = int(self.prefix.pid.read_text())
            title = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if title.startswith(b"nginx: master") else None

    def generation(self) -> int | None:
        """What a fresh connection is told by whichever worker accepts it. None: nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2)
                connection.connect(str(self.prefix.control_socket))
                connection.sendall(b"GET /generation HTTP/1.0\r\n\r\n")
                answer = b""
                while piece := connection.recv(4096):
                    answer += piece
            return int(answer.rpartition(b"\r\n\r\n")[2])
        except (OSError, ValueError):
            return None

    def wait_until_running(self) -> int:
        """The pid; raises ``nginx.not-running`` when none appears."""
        deadline = time.monotonic() + START_SECONDS
        # One without a control socket is a machine's own, that knows nothing of Bakery yet.
        while (pid := self.pid()) is None or (self.prefix.control_socket.exists() and self.generation() is None):
            if time.monotonic() > deadline:
                raise HostProblem(
                    "nginx.not-running",
                    "Nginx is not running.",
                    f"Start it, or start Bakery again; {self.error_log} says why it ended.",
                )
            time.sleep(LOOK_EVERY)
        return pid

    def reload(self, number: int) -> None:
        """SIGHUP, then wait until new workers answer with this generation and no old one accepts any more.

        The signal says nothing: a configuration that cannot be applied (too many open files, say) is dropped
        silently and the old workers go on. Raises ``nginx.not-applied``.
        """
        pid = self.wait_until_running()
        old = accepting_workers(pid)
        said_before = self._log_size()
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + APPLY_SECONDS
        while time.monotonic() < deadline:
            if self.generation() == number and not old & accepting_workers(pid):
                return
            if reason := self._emergency(pid, said_before):
                break
            time.sleep(LOOK_EVERY)
        else:
            reason = f"it did not answer with it within {APPLY_SECONDS:g} s."
        raise HostProblem(
            "nginx.not-applied",
            f"Nginx did not take the new configuration: {reason}",
            "The files before it were put back; every site serves as it did.",
        )

    def hang_up(self) -> None:
        """SIGHUP, and no more: for files of which nothing is read back."""
        if pid := self.pid():
            os.kill(pid, signal.SIGHUP)

    def last_emergency(self) -> str:
        """Why a start did not succeed: the last such line of the error log, whoever wrote it."""
        try:
            lines = self.error_log.read_bytes()[-64 * 1024 :].decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return next((line[-500:] for line in reversed(lines) if "[emerg]" in line and "still could" not in line), "")

    def _log_size(self) -> int:
        try:
            return self.error_log.stat().st_size
        except OSError:
            return 0

    def _emergency(self, pid: int, start: int) -> str:
        """The last line of the error log in which the master says why it gave up, since ``start``."""
        try:
            with self.error_log.open("rb") as file:
                file.seek(start)
                lines = file.read(1024 * 1024).decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        # A port that is taken is tried five times; only “still could not bind()” is the end of it.
        own = f"[emerg] {pid}#"
        return next((line[-500:] for line in reversed(lines) if own in line and "bind() to" not in line), "")


def accepting_workers(master: int) -> set[int]:
    """The master's workers, without those whose title says that they are shutting down."""
    found = set()
    for child in Path(f"/proc/{master}/task/{master}/children").read_text().split():
        try:
            title = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"worker process" in title and b"shutting down" not in title:
            found.add(int(child))
    return found
