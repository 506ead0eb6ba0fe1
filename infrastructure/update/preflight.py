"""Whether a new version can run on this host, looked at before anything is changed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.runner import SAFE_PATH, Command, Runner
from infrastructure.update.mirror import UNTOUCHED
from infrastructure.update.place import Place

MEGABYTE = 1024 * 1024
SPARE = 512 * MEGABYTE  # what has to be left over
OTHER_PYTHONS = ("python3", "python3.13", "python3.12", "python3.11", "python3.10")
REQUIRED = re.compile(r"""^requires-python\s*=\s*["']>=\s*(\d+)\.(\d+)""", re.MULTILINE)


def needed_python(pyproject: str) -> tuple[int, int]:
    """What ``requires-python`` in pyproject.toml says. (tomllib is not in Python 3.10.)"""
    found = REQUIRED.search(pyproject)
    return (int(found[1]), int(found[2])) if found else (3, 10)


def python_for(pyproject: str, runner: Runner) -> Path:
    """The interpreter for the new version's environment: the one of the running version, if it will do."""
    wanted = needed_python(pyproject)
    # The one behind this virtual environment: another may not be made inside it.
    candidates = [Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"]
    candidates += [Path(found) for name in OTHER_PYTHONS if (found := shutil.which(name, path=SAFE_PATH))]
    for candidate in candidates:
        if candidate.exists() and _version_of(candidate, runner) >= wanted:
            return candidate
    raise HostProblem(
        "update.python",
        f"The new version needs Python {wanted[0]}.{wanted[1]}, which is not on this host.",
        f"{UNTOUCHED} Install it with its venv module, and update again.",
    )


def _version_of(python: Path, runner: Runner) -> tuple[int, int]:
    script = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
    found = runner.run(Command((str(python), "-I", "-c", script), timeout=30), check=False)
    words = found.output.split()
    return (int(words[0]), int(words[1])) if found.exit_code == 0 and len(words) == 2 else (0, 0)


def check_room(place: Place, database_bytes: int) -> str:
    """Room for another release beside this one, for a dump, and for a second database. Says what there is."""
    release = size_of(place.current.resolve())
    needs: dict[int, tuple[Path, int]] = {}
    for directory, wanted in ((place.install, release), (place.data, 2 * database_bytes)):
        device = directory.stat().st_dev
        needs[device] = (directory, needs.get(device, (directory, SPARE))[1] + wanted)
    said = []
    for directory, wanted in needs.values():
        free = shutil.disk_usage(directory).free
        said.append(f"{free // MEGABYTE:,} MB free at {directory}, {wanted // MEGABYTE:,} MB needed")
        if free < wanted:
            raise HostProblem("update.disk-full", f"{said[-1]}.", f"{UNTOUCHED} Make room, and update again.")
    return "; ".join(said)


def size_of(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - thousands of them
    return total
