"""What the quickstart says while it works: one line per step, with the time that it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 58


class Step:
    """A running step; ``note`` is printed behind it."""

    def __init__(self) -> None:
        self.note = ""


class Report:
    def __init__(self) -> None:
        self.started = time.monotonic()
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
            self._write(self._line("✗", "31", title, begun, "") + "\n")
            raise
        self._write(self._line("✓", "32", title, begun, step.note) + "\n")

    def _line(self, mark: str, colour: str, title: str, begun: float, note: str) -> str:
        seconds = f"{time.monotonic() - begun:5.1f} s"
        mark = f"\x1b[{colour}m{mark}\x1b[0m" if self.colours else mark
        return f"{mark} {title:<{WIDTH}} {seconds}{'  ' + note if note else ''}"

    @staticmethod
    def _write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def say(self, text: str = "") -> None:
        self._write(f"{text}\n")

    def total(self) -> float:
        return time.monotonic() - self.started
