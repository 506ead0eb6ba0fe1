"""How code that users wrote is kept away from Bakery: an own uid, limits, an own process group.

A ``Confinement`` is a plan; ``confined()`` turns an argv into the argv of ``launch.py``, which applies the
plan in the new process and then *becomes* the program. The plan travels in a 0600 file, so that neither
it nor the environment shows in an argv.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
FIRST_UID = 200_000  # a deployment's uid is this plus its id: no account of the host has such a number
MINIMAL_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Confinement:
    """Limits of one process tree.

    ``uid`` is None where Bakery itself is an ordinary user and cannot change it; ``cgroup`` is the name of the
    control group to make and join where the host lets us, else the limits fall back to rlimits.
    """

    cgroup: str
    uid: int | None = None
    memory_bytes: int = 512 * 1024 * 1024
    cpu_percent: int = 100  # of one core
    max_processes: int = 256
    nice: int = 0
    file_size_bytes: int | None = None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def confinement_for(deployment_id: int, cgroup: str, **limits: int) -> Confinement:
    """The confinement of a deployment's processes: as root every deployment gets a uid of its own."""
    uid = FIRST_UID + deployment_id if os.geteuid() == 0 else None
    return Confinement(cgroup=cgroup, uid=uid, **limits)


def launch_spec(confinement: Confinement, argv: list[str], env: Mapping[str, str], cwd: Path | None) -> str:
    """The text of the file that ``launch.py`` reads: JSON with ``argv``, ``env``, ``cwd``, ``confinement``."""
    return json.dumps(
        {"argv": argv, "env": dict(env), "cwd": str(cwd) if cwd else None, "confinement": confinement.as_dict()}
    )


def launch_argv(spec: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(spec)]


@contextmanager
def confined(
    confinement: Confinement | None, argv: list[str], env: dict[str, str], cwd: Path | None
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The argv and environment with which the plan is carried out; its file is removed at the end."""
    if confinement is None:
        yield argv, env
        return
    handle, name = tempfile.mkstemp(prefix="bakery-launch-")  # made with mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(launch_spec(confinement, argv, env, cwd))
        yield launch_argv(Path(name)), dict(MINIMAL_ENVIRONMENT)
    finally:
        Path(name).unlink(missing_ok=True)
