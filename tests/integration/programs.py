"""The instance's own programs, killed, frozen, stopped and started again as an operator or the kernel would."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from infrastructure.quickstart import processes
from infrastructure.supervisor.rpc import Supervisor
from tests.instance import Instance
from tests.integration.waiting import until


def pid_of(instance: Instance, program: str) -> int:
    """Of one of the processes that bakery/background.py forks; waited for where it is being started again."""
    found: list[int] = []

    def is_found() -> bool:
        found[:] = [process.pid for process in processes.of_instance(instance.place) if _name(process.pid) == program]
        return len(found) == 1

    until(is_found)
    return found[0]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # it ended just now
        return ""


def kill(instance: Instance, program: str) -> None:
    """SIGKILL; it is started again."""
    os.kill(pid_of(instance, program), signal.SIGKILL)


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def nginx_workers(instance: Instance) -> list[int]:
    master = psutil.Process(int((instance.place.nginx / "nginx.pid").read_text()))
    return [child.pid for child in master.children()]


@contextmanager
def stopped(instance: Instance, program: str) -> Iterator[None]:
    _supervisor(instance).call("stopProcess", program, False)
    until(lambda: _info(instance, program)["statename"] == "STOPPED", 60)
    try:
        yield
    finally:
        _supervisor(instance).call("startProcess", program, False)
        until(lambda: _info(instance, program)["statename"] == "RUNNING", 60)
        until(lambda: program != "postgres" or _postgres_answers(instance))  # it runs before it lets anybody in


def _postgres_answers(instance: Instance) -> bool:
    try:
        psycopg.connect(instance.env["DATABASE_URL"], connect_timeout=60).close()
    except psycopg.OperationalError:
        return False
    return True


def _info(instance: Instance, program: str) -> dict[str, Any]:
    found: dict[str, Any] = _supervisor(instance).call("getProcessInfo", program)
    return found


def _supervisor(instance: Instance) -> Supervisor:
    return Supervisor(f"unix://{instance.place.supervisor_socket}")
