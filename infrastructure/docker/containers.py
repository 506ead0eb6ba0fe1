"""The plan of a container: what the engine is asked to create, as a value."""

from __future__ import annotations

import hashlib
import posixpath
import shlex
from dataclasses import dataclass
from typing import Any

from infrastructure.errors import Problem
from infrastructure.runtime import App

LOG = {"type": "json-file", "config": {"max-size": "16m", "max-file": "2"}}
# What images need that begin as root and then change to their own user; nothing with which to reach the host.
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"]


@dataclass(frozen=True)
class Volume:
    name: str
    path: str  # in the container
    directory: str  # on the host


def container_name(deployment_id: int, slot: str) -> str:
    return f"bakery-deployment-{deployment_id}-{slot}"


def environment(app: App, port: int) -> dict[str, str]:
    listen = {"HOST": "0.0.0.0", "HOSTNAME": "0.0.0.0", "NODE_ENV": "production"}  # noqa: S104 - inside its network
    return {**listen, **{name: value.reveal() for name, value in app.env.items()}, "PORT": str(port)}


def volumes(app: App, working_directory: str) -> list[Volume]:
    """A named volume per persistent directory: into an empty one the engine copies what the image has there, with its
    owner, which it does not do for a plain bind mount."""
    return [
        Volume(
            name=f"bakery-deployment-{app.deployment_id}-{hashlib.sha256(inside.encode()).hexdigest()[:12]}",
            path=posixpath.join(working_directory or "/", inside),
            directory=str(outside),
        )
        for inside, outside in app.persistent.items()
    ]


def words(command: str) -> list[str] | None:
    """A command of the user's as an argv; None: the image's own. No shell takes part: an image may have none."""
    if not command:
        return None
    try:
        return shlex.split(command)
    except ValueError as error:
        raise Problem(
            "app.command", f"The command cannot be split into words: {error}.", "Close its quotes."
        ) from error


def limits(app: App) -> dict[str, Any]:
    memory = app.limits.memory_mb * 1024 * 1024
    return {
        "mem_limit": memory,
        "memswap_limit": memory,  # no swap
        "nano_cpus": app.limits.cpu_percent * 10_000_000,
        "pids_limit": app.limits.max_processes,
        "init": True,  # forwards SIGTERM and reaps
        "cap_drop": ["ALL"],
        "cap_add": CAPABILITIES,
        "security_opt": ["no-new-privileges"],
        "log_config": LOG,
    }


def published(app: App, port: int, publish: str) -> dict[int | str, Any] | None:
    return {f"{port}/tcp": ("127.0.0.1", app.port)} if publish == "loopback" else None
