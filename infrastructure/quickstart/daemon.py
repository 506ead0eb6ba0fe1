"""Becomes a program in a session of its own, and ends only when that session is there.

Arguments: a file for what the program prints, one for the session's number, then its argv. Whoever starts
this may end its process group as soon as it returns: a program that makes itself a daemon is still in that group for a
moment after it has returned.
"""

from __future__ import annotations

import os
import sys


def main(output: str, session: str, argv: list[str]) -> None:
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        os.read(read, 1)  # until the child has written, or has died
        os._exit(0)
    os.setsid()
    with open(session, "w") as file:
        file.write(f"{os.getpid()}\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(source, target)
    os.write(write, b".")
    os.closerange(3, 64)
    os.execv(argv[0], argv)  # noqa: S606 - a launcher: no shell, an argv list


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
