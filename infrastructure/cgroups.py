"""Control groups: limits that hold for a whole tree of processes, and a way to end all of it.

Knows both versions of the kernel's interface (cgroups(7)): one tree (v2), or one per controller (v1). Every group
lies under ``bakery/`` and is found again by its name alone. Where the host lets us make none (an ordinary user, a
container without a writable tree) ``create`` says so, and the caller falls back to rlimits.

Standard library only: ``launch.py`` imports this before it gives its rights away.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OURS = "bakery"
CONTROLLERS = ("memory", "cpu", "pids")
CPU_PERIOD = 100_000  # microseconds


def is_v2() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def directories(name: str) -> list[Path]:
    """Where the group is, or would be."""
    if is_v2():
        return [ROOT / OURS / name]
    return [ROOT / controller / OURS / name for controller in CONTROLLERS]


def create(name: str, memory_bytes: int, cpu_percent: int, max_processes: int) -> bool:
    """Make the group, or give the one that is there new limits. False: this host lets us make none."""
    try:
        if is_v2():
            _create_v2(directories(name)[0], memory_bytes, cpu_percent, max_processes)
        else:
            _create_v1(name, memory_bytes, cpu_percent, max_processes)
    except OSError:
        remove(name)
        return False
    return True


def _create_v2(group: Path, memory_bytes: int, cpu_percent: int, max_processes: int) -> None:
    group.parent.mkdir(exist_ok=True)
    for level in (ROOT, group.parent):
        enabled = (level / "cgroup.subtree_control").read_text().split()
        missing = [f"+{controller}" for controller in CONTROLLERS if controller not in enabled]
        if missing:
            (level / "cgroup.subtree_control").write_text(" ".join(missing))
    group.mkdir(exist_ok=True)
    (group / "memory.max").write_text(str(memory_bytes))
    _write_if_there(group / "memory.swap.max", "0")
    _write_if_there(group / "memory.oom.group", "1")  # half an application is worse than none
    (group / "cpu.max").write_text(f"{cpu_percent * CPU_PERIOD // 100} {CPU_PERIOD}")
    (group / "pids.max").write_text(str(max_processes))


def _create_v1(name: str, memory_bytes: int, cpu_percent: int, max_processes: int) -> None:
    memory, cpu, pids = directories(name)
    for group in (memory, cpu, pids):
        group.parent.mkdir(exist_ok=True)
        group.mkdir(exist_ok=True)
    # memory+swap may never be smaller than memory, so it is lifted first and set last.
    _write_if_there(memory / "memory.memsw.limit_in_bytes", "-1")
    (memory / "memory.limit_in_bytes").write_text(str(memory_bytes))
    _write_if_there(memory / "memory.memsw.limit_in_bytes", str(memory_bytes))
    (cpu / "cpu.cfs_period_us").write_text(str(CPU_PERIOD))
    (cpu / "cpu.cfs_quota_us").write_text(str(cpu_percent * CPU_PERIOD // 100))
    (pids / "pids.max").write_text(str(max_processes))


def _write_if_there(file: Path, text: str) -> None:
    if file.exists():
        file.write_text(text)


def join(name: str, pid: int) -> None:
    for group in directories(name):
        (group / "cgroup.procs").write_text(str(pid))


def exists(name: str) -> bool:
    return any(group.exists() for group in directories(name))


def processes(name: str) -> set[int]:
    found: set[int] = set()
    for group in directories(name):
        with suppress(OSError):  # not there, or removed just now
            found |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    return found - {0}


def kill(name: str, seconds: float = 5.0) -> bool:
    """SIGKILL everything in the group, forks that come meanwhile included. True: it is empty."""
    if not exists(name):
        return True
    for group in directories(name):
        with suppress(OSError):
            _write_if_there(group / "pids.max", "0")  # from here on no process of it can fork
            _write_if_there(group / "cgroup.kill", "1")
    deadline = time.monotonic() + seconds
    while pids := processes(name) - {os.getpid()}:
        for pid in pids:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def remove(name: str) -> None:
    """Take an empty group away; one that still has processes stays."""
    for group in directories(name):
        # The kernel lets go of a group a moment after its last process was reaped.
        for _ in range(20):
            try:
                group.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                if processes(name):
                    break
                time.sleep(0.01)


def end(name: str) -> None:
    if name and exists(name):
        kill(name)
        remove(name)


def oom_kills(name: str) -> int:
    """How many of its processes the kernel ended because the group had no memory left."""
    return _oom_kills_in(directories(name)[0])


def own_oom_kills() -> int:
    """The same of the group that this process is in (proc(5), cgroups(7))."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers and is_v2():
            return _oom_kills_in(ROOT / path.lstrip("/"))
        if "memory" in controllers.split(","):
            return _oom_kills_in(ROOT / "memory" / path.lstrip("/"))
    return 0


def _oom_kills_in(group: Path) -> int:
    for file in (group / "memory.events", group / "memory.oom_control"):
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
    return 0
