"""How the installer's commands are run: written to its log, with the output, and with no secret in it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from infrastructure.network import network_environment
from infrastructure.report import Report
from infrastructure.runner import Command, Result, Runner
from infrastructure.secret import Secret


class Log:
    """The installer's log as the ``Recorder`` of its ``Runner``."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def write(self, data: bytes) -> None:
        with self.file.open("ab") as out:
            out.write(data)

    def started(self, argv: list[str]) -> object:
        self.write(f"{datetime.now(timezone.utc):%H:%M:%S} $ {' '.join(argv)}\n".encode())
        return None

    def ended(self, handle: object, exit_code: int | None, note: str) -> None:
        if exit_code != 0:
            self.write(f"… exit code {exit_code} {note}\n".encode())


class Work:
    """One run of the installer: what it says, and what it runs."""

    def __init__(self, log: Path) -> None:
        self.log = Log(log)
        self.report = Report(log)
        self.runner = Runner(recorder=self.log)

    def run(
        self,
        *argv: str,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        stdin: Secret | None = None,
        timeout: float = 300,
        check: bool = True,
    ) -> Result:
        """Both streams of output go to the log."""
        command = Command(argv, cwd=cwd, env={**network_environment(), **(env or {})}, stdin=stdin, timeout=timeout)
        return self.runner.run(command, self.log.write, check=check)

    def ask(self, *argv: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 60) -> str:
        """Standard output, which is not logged: it may be a password."""
        command = Command(argv, cwd=cwd, env=env or {}, timeout=timeout, merge_stderr=False)
        return self.runner.run(command, self.log.write).output

    def systemctl(self, *arguments: str, timeout: float = 120, check: bool = True) -> str:
        return self.run("systemctl", "--no-pager", *arguments, timeout=timeout, check=check).output.strip()
