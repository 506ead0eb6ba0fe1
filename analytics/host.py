"""Figures of the machine, for the dashboard."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

LEAST_SECONDS = 0.5  # between two looks at the CPU's counters; a shorter span says little


@dataclass(frozen=True)
class HostFigures:
    cpu_percent: float  # of all cores
    cores: int
    load: tuple[float, float, float]  # 1, 5, 15 minutes
    memory_used: int  # bytes; what is not available to a new process
    memory_total: int
    disk_used: int  # bytes, of the file system that holds the data directory
    disk_total: int

    @property
    def memory_percent(self) -> float:
        return 100 * self.memory_used / max(self.memory_total, 1)

    @property
    def disk_percent(self) -> float:
        return 100 * self.disk_used / max(self.disk_total, 1)

    @property
    def load_percent(self) -> float:
        """The load of the last minute, as a share of what the cores can do at once."""
        return min(100.0, 100 * self.load[0] / max(self.cores, 1))


class _CpuShare:
    """Per cent of all cores that were busy since the last look, whichever thread looked.

    ``psutil.cpu_percent()`` keeps its last look per thread, and answers 0.0 in each new one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before = self._counters()
        self._at = time.monotonic()
        self._share: float | None = None

    @staticmethod
    def _counters() -> tuple[float, float]:
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        total = sum(times[:8])  # guest times, which follow, are already counted in user and nice
        return total - idle, total

    def read(self) -> float:
        with self._lock:
            passed = time.monotonic() - self._at
            if self._share is not None and passed < LEAST_SECONDS:
                return self._share
            if self._share is None and passed < LEAST_SECONDS:
                time.sleep(0.1)
            busy, total = self._counters()
            self._share = 100 * max(0.0, busy - self._before[0]) / max(total - self._before[1], 0.01)
            self._before, self._at = (busy, total), time.monotonic()
            return min(self._share, 100.0)


_cpu = _CpuShare()


def host_figures(directory: Path) -> HostFigures:
    """Now; ``directory`` names the file system whose room is shown."""
    memory = psutil.virtual_memory()
    while not directory.exists():
        directory = directory.parent
    disk = psutil.disk_usage(str(directory))
    return HostFigures(
        cpu_percent=_cpu.read(),
        cores=os.cpu_count() or 1,
        load=os.getloadavg(),
        memory_used=memory.total - memory.available,
        memory_total=memory.total,
        disk_used=disk.used,
        disk_total=disk.total,
    )
