"""What the release engine asks of a runtime, in the same words for containers and for Bun processes.

The engine knows ``Runtime`` and these values alone. ``infrastructure/docker`` and ``infrastructure/bun`` implement it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from infrastructure.runner import LogSink, Runner
from infrastructure.secret import Secret

__all__ = [
    "App",
    "Build",
    "Built",
    "Limits",
    "LogSink",
    "Observation",
    "ProcessState",
    "Runtime",
]


class ProcessState(str, Enum):
    MISSING = "missing"  # nothing of that name is there
    STARTING = "starting"  # also: waiting to be restarted
    RUNNING = "running"
    STOPPED = "stopped"  # ended because it was asked to
    EXITED = "exited"  # ended by itself


@dataclass(frozen=True)
class Observation:
    """What was seen of a slot's process just now."""

    state: ProcessState
    release_id: int | None = None  # whose process it is: from its label or its launch file
    exit_code: int | None = None
    out_of_memory: bool = False
    restarts: int = 0
    started_at: str = ""  # opaque: a change means that the process was replaced


@dataclass(frozen=True)
class Limits:
    memory_mb: int
    cpu_percent: int  # of one core
    max_processes: int
    timeout: float = 0.0  # seconds; for builds and one-off commands
    disk_mb: int = 0  # for builds: what its directories may hold; 0: no limit


@dataclass(frozen=True)
class Build:
    """One build of a checked-out commit."""

    deployment_id: int
    release_id: int
    source: Path  # the checked-out repository
    base_directory: str  # within source; "" is its root
    build_command: str  # "": the runtime's own
    start_command: str  # checked here, so that a missing start script fails the build and not the start
    env: Mapping[str, Secret]
    limits: Limits
    container_port: int | None = None


@dataclass(frozen=True)
class Built:
    artifact: str  # image id, or absolute directory
    container_port: int | None = None  # docker: the port inside the container


@dataclass(frozen=True)
class App:
    """A release that is to run in a slot."""

    deployment_id: int
    release_id: int
    slot: str  # "blue" or "green"
    port: int  # the slot's loopback port
    address: str  # the slot's address on the bridge network
    artifact: str
    base_directory: str
    start_command: str  # "": the runtime's own
    env: Mapping[str, Secret]  # without PORT, which the runtime adds
    limits: Limits
    grace_seconds: int
    container_port: int | None = None
    persistent: Mapping[str, Path] = field(default_factory=dict)  # path inside the app -> directory on the host


class Runtime(Protocol):
    """One way to build and run releases. Every method is idempotent: it may be called again after a kill -9."""

    def available(self) -> None:
        """Return when this host can run it, else raise ``HostProblem`` that says what is missing."""

    def build(self, build: Build, runner: Runner, log: LogSink) -> Built:
        """Make the artifact; raise ``Problem`` (``build.failed``, ``build.no-start-script`` …) when it cannot."""

    def has_artifact(self, artifact: str) -> bool: ...

    def remove_artifact(self, artifact: str) -> None: ...

    def upstream(self, app: App) -> str:
        """``host:port`` at which the app will answer, as seen from this host."""

    def start(self, app: App, runner: Runner) -> None:
        """Replace whatever is in the slot by ``app``. Returns when it was started, not when it answers."""

    def stop(self, deployment_id: int, slot: str, grace_seconds: int) -> None:
        """SIGTERM, up to ``grace_seconds``, SIGKILL; and take it out of the slot, so that no reboot starts it."""

    def observe(self, deployment_id: int, slot: str) -> Observation: ...

    def run_once(self, app: App, command: str, runner: Runner, log: LogSink) -> None:
        """Run ``command`` with the app's artifact, environment and persistent directories; raise ``CommandFailed``."""

    def last_output(self, deployment_id: int, slot: str, lines: int = 40) -> str:
        """The last lines that the slot's process wrote (not masked)."""

    def remove_deployment(self, deployment_id: int) -> None:
        """Take away everything that was made for it: processes, containers, images, users' directories, files."""

    def tidy(self, budget_bytes: int) -> int:
        """Let go of what builds left behind beyond ``budget_bytes``, the oldest first; returns the bytes freed."""
