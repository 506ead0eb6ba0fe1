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
) -> dict[str, Runtime]:
    """``processes`` is "supervisord" or "systemd"; ``docker_publish`` is "bridge" or "loopback"."""
    launches = data_dir / "supervisor" / "launch"
    manager: Processes
    if processes == "systemd":
        manager = SystemdProcesses(launches)
    else:
        manager = SupervisorProcesses(supervisor_url, data_dir / "supervisor" / "conf.d", launches)
    bun = BunRuntime(binary=bun_binary, data_dir=data_dir, logs_dir=logs_dir, builds_dir=builds_dir, processes=manager)
    return {"bun": bun, "docker": DockerRuntime(data_dir=data_dir, subnet=docker_subnet, publish=docker_publish)}


def detect_runtime(checkout: Path, base: str) -> str:
    """``docker`` where the base directory has a Dockerfile, else ``bun``."""
    return "docker" if (base_directory(checkout, base) / "Dockerfile").is_file() else "bun"
