"""Ends what fills the disk: a command whose directories grow over a limit, or that leaves the host too little room.

It works without quotas, which few hosts have set up. Free space is looked at with every look of the runner; the
directories are measured beside it, in a thread, again and again. One file cannot outgrow the limit between two looks:
``Confinement.file_size_bytes``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from infrastructure.errors import Cancelled, Problem
from infrastructure.runner import Command, Runner

MEBIBYTE = 1024 * 1024
LEAST_RESERVE, LARGEST_RESERVE = 256 * MEBIBYTE, 1024 * MEBIBYTE
RESERVED_SHARE = 20  # one part of so many stays free, also of the inodes
EVERY_SECONDS = 1.0  # between two measurements, or
SHARE_OF_TIME = 5  # so many times as long as one takes
MEASURE_SECONDS = 30.0
LIMIT = "build.disk-limit"


def free_bytes(directory: Path) -> int:
    about = os.statvfs(directory)
    return about.f_bavail * about.f_frsize


def reserve_bytes(directory: Path) -> int:
    """What stays free for the sites, the database and the logs of the host."""
    about = os.statvfs(directory)
    return max(LEAST_RESERVE, min(LARGEST_RESERVE, about.f_blocks * about.f_frsize // RESERVED_SHARE))


def is_short(directory: Path) -> bool:
    """Whether less is free than the reserve, in bytes or in inodes (a file system that makes them as it goes has 0)."""
    about = os.statvfs(directory)
    few_inodes = bool(about.f_files) and about.f_favail < about.f_files // RESERVED_SHARE // 4
    return few_inodes or free_bytes(directory) < reserve_bytes(directory)


class DiskWatch:
    """``with DiskWatch(…) as watch: run(Command(…, watch=watch))``. ``what`` is named in the error, “The build”;
    ``directories`` together may hold ``limit_mb`` (0: no limit); the free space is that of the first one."""

    def __init__(self, what: str, directories: tuple[Path, ...], limit_mb: int = 0) -> None:
        self.what = what
        self.directories = directories
        self.limit_mb = limit_mb
        self._used = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._measure, name="disk-watch", daemon=True)

    def __enter__(self) -> DiskWatch:
        if self.limit_mb:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.limit_mb and kind is None:
            self.measure()
            self._refuse_size()

    def __call__(self) -> None:
        """Raises ``Problem`` when it is to end."""
        self._refuse_size()
        if is_short(self.directories[0]):
            raise Problem(
                LIMIT,
                f"{self.what} was ended as the host's disk was running full: "
                f"{free_bytes(self.directories[0]) // MEBIBYTE} MiB were left.",
                "Make room on the host, or make it need less. Then deploy again.",
            )

    def _refuse_size(self) -> None:
        if self.limit_mb and self._used > self.limit_mb * MEBIBYTE:
            raise Problem(
                LIMIT,
                f"{self.what} wrote more than the {self.limit_mb} MiB that it may, and was ended.",
                "Make it need less, or raise the disk limit of a build in the settings.",
            )

    def measure(self) -> None:
        """Now: what a command has left behind that was ended between two looks."""
        self._used = disk_usage(self.directories, otherwise=self._used)

    def _measure(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            self._used = disk_usage(self.directories, self._stop.is_set, otherwise=self._used)
            self._stop.wait(max(EVERY_SECONDS, SHARE_OF_TIME * (time.monotonic() - started)))


def disk_usage(directories: tuple[Path, ...], stop: Callable[[], bool] = lambda: False, otherwise: int = 0) -> int:
    """Bytes on the disk below ``directories``, each file once however many names it has; ``otherwise`` when it was
    stopped, or when there are too many files to count: the free space and the inodes are watched as well."""
    there = tuple(str(directory) for directory in directories if directory.exists())
    if not there:
        return 0
    # du(1) does not follow symlinks, also not those that are put there while it looks, and goes to any depth.
    argv = ("du", "--summarize", "--one-file-system", "--block-size=1", "--total", "--", *there)
    try:
        # What vanishes meanwhile makes it complain, and its exit code 1; the total is its last line.
        output = Runner(cancelled=stop).run(Command(argv, timeout=MEASURE_SECONDS), check=False).output
    except (Problem, Cancelled):
        return otherwise
    number, _, name = output.strip().rpartition("\n")[2].partition("\t")
    return int(number) if name == "total" else otherwise
