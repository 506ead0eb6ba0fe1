"""supervisord, which does not end because it cannot complain.

A line that it cannot write, because the disk is full, it reports on its standard error, which is a file on the same
disk. That fails as well, and this second failure is one that supervisord does not catch: it closes the program's
output for good and then ends itself. So its standard streams swallow what cannot be written.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO


class Forgiving:
    """A text stream whose writes may get lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return False


def main() -> None:
    sys.stdout = sys.__stdout__ = Forgiving(sys.stdout)  # type: ignore[assignment, misc]
    sys.stderr = sys.__stderr__ = Forgiving(sys.stderr)  # type: ignore[assignment, misc]
    from supervisor import supervisord

    supervisord.main()


if __name__ == "__main__":
    main()
