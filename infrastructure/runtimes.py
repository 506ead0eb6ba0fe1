"""The runtimes of an instance, and which of them a repository needs."""

from __future__ import annotations

from pathlib import Path

from infrastructure.bun import BunRuntime
from infrastructure.docker.runtime import DockerRuntime
from infrastructure.git import base_directory
from infrastructure.processes import Processes
from infrastructure.runtime import Runtime
from infrastructure.supervisor.processes import SupervisorProcesses
from infrastructure.systemd.processes import SystemdProcesses
from infrastructure.systemd.transient import TransientUnits


def make_runtimes(
    *,
    data_dir: Path,
    logs_dir: Path,
    builds_dir: Path,
    bun_binary: str,
    supervisor_url: str,
    processes: str,
    docker_subnet: str,
    docker_publish: str,
    install_dir: Path | None = None,
) -> dict[str, Runtime]:
    """``processes`` is "supervisord" or "systemd"; ``docker_publish`` is "bridge" or "loopback"; ``install_dir`` holds
    Bakery's versions and its secrets on a server."""
    units = transient_units(processes, data_dir, hidden_directories(data_dir, logs_dir, builds_dir, install_dir))
    manager: Processes
    if units is not None:
        manager = SystemdProcesses(units.home, units.hidden)
    else:
        launches = data_dir / "supervisor" / "launch"
        manager = SupervisorProcesses(supervisor_url, data_dir / "supervisor" / "conf.d", launches)
    bun = BunRuntime(
        binary=bun_binary,
        data_dir=data_dir,
        logs_dir=logs_dir,
        builds_dir=builds_dir,
        processes=manager,
        units=units,
    )
    return {"bun": bun, "docker": DockerRuntime(data_dir=data_dir, subnet=docker_subnet, publish=docker_publish)}


def transient_units(processes: str, data_dir: Path, hidden: tuple[Path, ...]) -> TransientUnits | None:
    """What runs clones, builds and one-off commands as units; None: this host has no manager of units."""
    return TransientUnits(data_dir / "systemd", hidden) if processes == "systemd" else None


def hidden_directories(*directories: Path | None) -> tuple[Path, ...]:
    """Bakery's own: users' programs see their own parts of them alone."""
    return tuple(dict.fromkeys(path.resolve() for path in directories if path is not None))


def detect_runtime(checkout: Path, base: str) -> str:
    """``docker`` where the base directory has a Dockerfile, else ``bun``."""
    return "docker" if (base_directory(checkout, base) / "Dockerfile").is_file() else "bun"
