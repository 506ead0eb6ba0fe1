"""How long a server may take to answer. Its own time limits are of no use where it is not what it seems, or is cut
off in the middle: libpq waits for ever, and whoever asks holds a worker's thread, or the lock for which others wait.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

SECONDS = 90.0  # for some statements that look at a catalogue, each with a limit of ten or so on the server


@contextmanager
def silent_for(connection: psycopg.Connection, seconds: float | None = None) -> Iterator[None]:
    """After so many seconds (``SECONDS``) it is cut off; what waits gets psycopg's ``OperationalError``."""
    clock = threading.Timer(SECONDS if seconds is None else seconds, cut, (connection,))
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()
        clock.join()


def cut(connection: psycopg.Connection) -> None:
    """Whatever another thread does with it. Its descriptor stays, so that nobody else gets that number meanwhile."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)
