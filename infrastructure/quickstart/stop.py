"""Stops everything that a start has started, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from infrastructure.errors import HostProblem
from infrastructure.quickstart import control, processes
from infrastructure.quickstart.layout import Layout

SECONDS = 60.0


def stop(place: Layout) -> int:
    """Stop the instance. Returns how many processes it had (0: it was not running)."""
    everything = processes.of_instance(place)
    leader = processes.running_supervisord(place)
    if leader:
        try:
            control.Supervisord(place.supervisor_socket).shutdown()
        except HostProblem:
            pass  # its socket is gone; the signals below do the same
        deadline = time.monotonic() + SECONDS
        while processes.still_runs(leader) and time.monotonic() < deadline:
            time.sleep(0.05)
    end_all(everything)
    place.supervisor_socket.unlink(missing_ok=True)
    place.supervisord_pid.unlink(missing_ok=True)
    return len(everything)


def end_all(found: Iterable[processes.Process]) -> None:
    """What supervisord did not end: it was killed, or a build runs in a session of its own."""
    left = processes.end(found)
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise HostProblem(
            "quickstart.would-not-stop",
            f"These processes would not end: {numbers}.",
            f"You are uid {os.getuid()}; end them as their owner.",
        )
