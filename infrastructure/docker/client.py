"""The program ``docker``: which one builds images, and with what.

A host may have several (a distribution's, somebody's own). BuildKit is much quicker than the classic builder and adds
labels for nothing, where the classic one makes a container and a layer of each step, the labels included. So the first
one that has BuildKit and can speak to the engine is taken, else the first one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.runner import SAFE_PATH, Command, Runner

WITH_PLUGIN = 23  # clients before have BuildKit built in; from this one on it is the plugin buildx
_found: dict[tuple[tuple[str, float], ...], Client] = {}


@dataclass(frozen=True)
class Client:
    path: str
    buildkit: bool


def client_environment() -> dict[str, str]:
    """HOME, as the host's user may have logged in to a registry, and where the engine is."""
    names = ("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")
    passed = {name: os.environ[name] for name in names if name in os.environ}
    return {**passed, "HOME": str(Path.home()), "DOCKER_CLI_HINTS": "false"}


def clients(path: str = SAFE_PATH) -> list[Path]:
    """Each program once, in the order of ``path``."""
    found = [Path(directory) / "docker" for directory in path.split(":")]
    there = [program for program in found if os.access(program, os.X_OK)]
    return list({program.resolve(): program for program in reversed(there)}.values())[::-1]


def client(path: str = SAFE_PATH) -> Client:
    """Asked of the programs once, while they stay what they are: each answer starts one or two of them."""
    programs = clients(path)
    if not programs:
        raise HostProblem(
            "docker.unavailable",
            "Docker is not installed on this host.",
            "Install it, or choose the Bun runtime in the settings.",
        )
    key = tuple((str(program), program.stat().st_mtime) for program in programs)
    if key in _found:
        return _found[key]
    answers = {program: _has_buildkit(program) for program in programs}
    able = next((program for program, answer in answers.items() if answer), None)
    chosen = Client(str(able or programs[0]), able is not None)
    if None not in answers.values():  # else the engine was away, perhaps
        _found[key] = chosen
    return chosen


def _has_buildkit(program: Path) -> bool | None:
    """docs.docker.com/build/buildkit. None: no engine answers, or it refuses a client that is too old for it."""
    ask = Command(argv=(str(program), "version", "--format", "{{.Client.Version}}"), env=client_environment())
    answer = Runner().run(ask, check=False)
    major = re.match(r"(\d+)\.", answer.output.strip())
    if answer.exit_code != 0 or not major:
        return None
    if int(major[1]) < WITH_PLUGIN:
        return True
    plugin = Command(argv=(str(program), "buildx", "version"), env=client_environment())
    return Runner().run(plugin, check=False).exit_code == 0
