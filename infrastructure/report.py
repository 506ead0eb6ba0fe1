"""What the quickstart and the installer say while they work: one line per step, with the time that it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WIDTH = 58


class Step:
    """A running step; ``note`` is printed behind it."""

    def __init__(self) -> None:
        self.note = ""


class Report:
    """``log``: a file that gets every finished line as well, without colours."""

    def __init__(self, log: Path | None = None) -> None:
        self.started = time.monotonic()
        self.log = log
        self.colours = sys.stdout.isatty()

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        begun = time.monotonic()
        step = Step()
        if self.colours:
            self._write(f"  {title} …\r")
        try:
            yield step
        except BaseException:
            self._finished("✗", "31", title, begun, "")
            raise
        self._finished("✓", "32", title, begun, step.note)

    def _finished(self, mark: str, colour: str, title: str, begun: float, note: str) -> None:
        rest = f" {title:<{WIDTH}} {time.monotonic() - begun:5.1f} s{'  ' + note if note else ''}"
        coloured = f"\x1b[{colour}m{mark}\x1b[0m" if self.colours else mark
        self._write(f"{coloured}{rest}\n")
        self._keep(f"{mark}{rest}\n")

    def _keep(self, text: str) -> None:
        if self.log:
            with self.log.open("a") as file:
                file.write(text)

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def say(self, text: str = "") -> None:
        self._write(f"{text}\n")
        self._keep(f"{text}\n")

    def say_once(self, text: str) -> None:
        """What is to be seen and not kept."""
        self._write(f"{text}\n")

    def total(self) -> float:
        return time.monotonic() - self.started
