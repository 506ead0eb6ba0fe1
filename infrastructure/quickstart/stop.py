"""Stops everything that a start has started, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.quickstart import control, processes
from infrastructure.quickstart.check import DOCKER_SOCKETS
from infrastructure.quickstart.layout import Layout
from infrastructure.quickstart.supervisord import SERVERS

SECONDS = 60.0


def stop(place: Layout) -> int:
    """Stop the instance. Returns how many processes it had (0: it was not running)."""
    everything = processes.of_instance(place)
    leader = processes.running_supervisord(place)
    if leader:
        try:
            _shut_down(control.Supervisord(place.supervisor_socket))
        except HostProblem:
            pass  # its socket is gone; the signals below do the same
        deadline = time.monotonic() + SECONDS
        while processes.still_runs(leader) and time.monotonic() < deadline:
            time.sleep(0.05)
    end_all(everything)
    _stop_containers(place)
    place.supervisor_socket.unlink(missing_ok=True)
    place.supervisord_pid.unlink(missing_ok=True)
    place.session.unlink(missing_ok=True)
    return len(everything)


def _shut_down(supervisor: control.Supervisord) -> None:
    """What needs PostgreSQL and Redis first, all at once: supervisord itself would end one after the other."""
    dependent = [name for name in supervisor.states() if name not in SERVERS]
    for name in dependent:
        supervisor.stop(name, wait=False)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        states = supervisor.states()
        if all(states.get(name, "STOPPED") in control.ENDED_STATES for name in dependent):
            break
        time.sleep(0.1)
    supervisor.shutdown()


def _stop_containers(place: Layout) -> None:
    if not any(Path(socket).exists() for socket in DOCKER_SOCKETS) and "DOCKER_HOST" not in os.environ:
        return
    from infrastructure.docker.instance import stop_all

    try:
        stop_all(place.data)
    except ImportError:
        return  # without the virtual environment nothing can have made a container


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
