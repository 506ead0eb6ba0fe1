"""The processes of an instance, found by number: nothing is ever matched by its name alone.

supervisord is the leader of a session that all its programs share, also after it was killed. That session, every
descendant of its members, and PostgreSQL's own pid file are how what it left behind is found again. A Bun release may
live in a mount namespace of its own, where its directory has a name that says nothing: ``launch.py`` notes its starts.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infrastructure.quickstart.layout import Layout


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    session: int
    started: int  # clock ticks after boot: with the pid it names one process for good


def read_process(pid: int) -> Process | None:
    """From ``/proc/PID/stat``; None when it has ended (a zombie counts as ended)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]))


def all_processes() -> list[Process]:
    pids = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
    return [process for pid in pids if (process := read_process(pid))]


def running_supervisord(layout: Layout) -> Process | None:
    """The instance's supervisord, if it lives."""
    pid = _number(layout.supervisord_pid)
    process = read_process(pid) if pid else None
    if process and str(layout.supervisord_conf) in _command_line(process.pid):
        return process
    return None


def of_instance(layout: Layout) -> list[Process]:
    """Everything that belongs to the instance's supervisord, whether it lives or was killed."""
    leader = _number(layout.session) or _number(layout.supervisord_pid)
    everything = all_processes()
    roots = _releases(everything, layout)
    if leader:
        roots |= {process.pid for process in everything if process.session == leader and _is_ours(process.pid, layout)}
    postmaster = _number(layout.postgres / "postmaster.pid")
    if postmaster and str(layout.postgres) in _command_line(postmaster):
        roots.add(postmaster)
    found = with_descendants(everything, roots)
    return [process for process in found if process.pid != os.getpid()]


def with_descendants(everything: Iterable[Process], roots: set[int]) -> list[Process]:
    """``roots`` and all that they started: a build runs in a session of its own."""
    by_parent: dict[int, list[Process]] = {}
    known: dict[int, Process] = {}
    for process in everything:
        by_parent.setdefault(process.parent, []).append(process)
        known[process.pid] = process
    found: dict[int, Process] = {}
    waiting = [known[pid] for pid in roots if pid in known]
    while waiting:
        process = waiting.pop()
        if process.pid not in found:
            found[process.pid] = process
            waiting.extend(by_parent.get(process.pid, []))
    return list(found.values())


def end(processes: Iterable[Process], grace: float = 5.0) -> list[Process]:
    """SIGTERM, up to ``grace`` seconds, SIGKILL. Returns what is still there."""
    left = [process for process in processes if still_runs(process)]
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 3.0)):
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = [process for process in left if still_runs(process)]
    return left


def still_runs(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.started == process.started


def _releases(everything: Iterable[Process], layout: Layout) -> set[int]:
    """The programs of releases, by number and begin: a number that was given out anew began at another tick."""
    noted: set[tuple[str, str]] = set()
    with contextlib.suppress(OSError):
        for starts in layout.launches.glob("*.starts"):
            for line in starts.read_text().split():
                _, pid, began = line.split("/")
                noted.add((pid, began))
    return {process.pid for process in everything if (str(process.pid), str(process.started)) in noted}


def _is_ours(pid: int, layout: Layout) -> bool:
    """The session's number could in theory have been given out anew: its programs work in our directories."""
    try:
        directory = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return False
    return any(root == directory or root in directory.parents for root in (layout.data, layout.checkout))


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
