"""Becomes a program of a user: reads a launch spec, gives up Bakery's rights, applies limits, executes.

Started as ``python -I -S launch.py <spec.json>`` (see ``confinement.py``) by the runner, by supervisord and by systemd.
Runs before the program, with Bakery's rights, in a process of its own; whatever it says goes to the program's log.
Exit codes as those of env(1): 127 the program was not found, 126 it could not be started.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import sys
import time
import warnings  # noqa: F401 - os.execvpe imports it, when it may no longer be readable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # -I leaves it out
from infrastructure import cgroups, seclusion

sys.path.pop(0)

PR_SET_NO_NEW_PRIVS = 38  # prctl(2)
OPEN_FILES = 65536
# An idle Bun maps 1.06 GB of data of which it touches 10 MB. Measured: it cannot start below 300 MB, and does above.
BUN_RESERVES = 1280 * 1024 * 1024


def main(path: str) -> NoReturn:
    spec: dict[str, Any] = json.loads(Path(path).read_text())
    confinement: dict[str, Any] = spec["confinement"]
    _note_start(spec["starts"])
    in_group = _enter_group(confinement)
    _limit(confinement, in_group)
    if confinement["uid"] is not None:
        seclusion.seclude(spec["reach"], confinement["uid"])
        _give_up_rights(confinement["uid"])
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(0o022)
    for inside, outside in spec["links"].items():
        _link(Path(inside), Path(outside))
    os.chdir(spec["cwd"] or "/")
    program = spec["argv"][0]
    try:
        os.execvpe(program, spec["argv"], spec["env"])
    except FileNotFoundError:  # it names the last directory of PATH that was tried
        raise FileNotFoundError(None, None, program) from None


def _note_start(file: str | None) -> None:
    """One line per start, ``<time>/<pid>/<when the kernel says it began>``: how a supervisor's restarts are counted,
    and how the former run is found that a killed supervisor left behind, with our port."""
    if file:
        starts = Path(file)
        former = starts.read_text().split() if starts.exists() else []
        if former:
            _end_former(former[-1])
        with starts.open("a") as log:
            log.write(f"{time.time():.3f}/{os.getpid()}/{_began(os.getpid())}\n")


def _end_former(line: str) -> None:
    _, pid, began = line.split("/")
    if _began(int(pid)) == began:  # a number that was used again began later
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(pid), signal.SIGKILL)


def _began(pid: int) -> str:
    """Field 22 of proc(5)'s stat, in clock ticks since boot; "": there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _enter_group(confinement: dict[str, Any]) -> bool:
    name = confinement["cgroup"]
    if not name:
        return False
    # What a former run left behind (it crashed, Bakery was killed) does not share this one's limits.
    cgroups.kill(name)
    limits = (
        confinement["memory_bytes"],
        confinement["cpu_percent"],
        confinement["max_processes"],
    )
    if not cgroups.create(name, *limits):
        return False
    try:
        cgroups.join(name, os.getpid())
    except OSError:
        return False
    return True


def _limit(confinement: dict[str, Any], in_group: bool) -> None:
    _rlimit(resource.RLIMIT_CORE, 0)
    _rlimit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if confinement["file_size_bytes"] is not None:
        _rlimit(resource.RLIMIT_FSIZE, confinement["file_size_bytes"])
    if not in_group and confinement["cgroup"]:
        _rlimit(resource.RLIMIT_DATA, confinement["memory_bytes"] + BUN_RESERVES)
        if confinement["uid"] is not None:  # it counts per uid: with Bakery's own it would count Bakery
            _rlimit(resource.RLIMIT_NPROC, confinement["max_processes"])
    if confinement["nice"]:
        os.nice(confinement["nice"])


def _rlimit(which: int, value: int) -> None:
    """Set both limits, or as much of it as the host allows."""
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _give_up_rights(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _link(inside: Path, outside: Path) -> None:
    """Make ``inside`` a symlink to a directory that outlives the release. What the repository has there is its
    first content. Runs with the app's own rights, so that no symlink of the app can misuse Bakery's."""
    outside.mkdir(parents=True, exist_ok=True)
    if inside.exists() and inside.resolve() == outside.resolve():
        return
    if inside.is_dir() and not inside.is_symlink():
        if not any(outside.iterdir()):
            shutil.copytree(inside, outside, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(inside)
    elif inside.is_symlink() or inside.exists():
        inside.unlink()
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.symlink_to(outside)


def start() -> NoReturn:
    try:
        main(sys.argv[1])
    except FileNotFoundError as error:
        sys.stderr.write(f"Bakery could not start it: {error.filename} was not found.\n")
        sys.exit(127)
    except (OSError, ValueError, shutil.Error) as error:
        sys.stderr.write(f"Bakery could not start it: {error}\n")
        sys.exit(126)


if __name__ == "__main__":
    start()
