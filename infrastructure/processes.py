"""What a Bun release asks of the host's process manager, in the same words for supervisord and for systemd."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from infrastructure.confinement import Launch
from infrastructure.files import write_atomically
from infrastructure.runtime import Observation


@dataclass(frozen=True)
class Program:
    """A process that is kept running. ``name`` is made of ids alone."""

    name: str
    launch: Launch
    log: Path  # gets its stdout and stderr
    grace_seconds: int  # between SIGTERM and SIGKILL


class Processes(Protocol):
    """Every method may be called again after a kill -9."""

    def available(self) -> None:
        """Return when the manager answers, else raise ``HostProblem``."""

    def start(self, program: Program) -> None:
        """Replace whatever has the name; start it, now and after every restart of the host."""

    def stop(self, name: str, grace_seconds: int) -> None:
        """SIGTERM to all of it, up to ``grace_seconds``, SIGKILL to all that is left; and forget it."""

    def observe(self, name: str) -> Observation: ...

    def log_of(self, name: str) -> Path | None:
        """Where the program that has the name now writes to."""


class LaunchFiles:
    """The specs with which ``launch.py`` starts programs, one 0600 file each: a program's environment is in it.
    ``passable``: who is not root may ask whether a file is there, such as ``out_of_memory``."""

    def __init__(self, directory: Path, *, passable: bool = False) -> None:
        self.directory = directory
        self.mode = 0o711 if passable else 0o700

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def write(self, program: Program) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(self.mode)
        starts = self._starts(program.name)
        self.remove(program.name)
        spec: dict[str, Any] = json.loads(replace(program.launch, starts=starts).text())
        spec["log"] = str(program.log)
        path = self.path(program.name)
        write_atomically(path, json.dumps(spec), mode=0o600)
        return path

    def read(self, name: str) -> dict[str, Any] | None:
        try:
            spec: dict[str, Any] = json.loads(self.path(name).read_text())
        except FileNotFoundError:
            return None
        return spec

    def starts(self, name: str) -> list[str]:
        """Its starts, the first one and every one since: see ``launch.py``."""
        try:
            return self._starts(name).read_text().split()
        except FileNotFoundError:
            return []

    def out_of_memory(self, name: str) -> Path:
        """There once one of its runs used up its memory, where the process manager notes that."""
        return self.directory / f"{name}.out-of-memory"

    def remove(self, name: str) -> None:
        for file in (self.path(name), self._starts(name), self.out_of_memory(name)):
            file.unlink(missing_ok=True)

    def _starts(self, name: str) -> Path:
        return self.directory / f"{name}.starts"
