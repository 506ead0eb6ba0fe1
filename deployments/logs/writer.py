"""Writes a log while the job that makes it goes on: ``write`` takes bytes, a thread of its own stores them."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from django.db import Error, connection

from deployments.logs.lines import LineAssembler
from deployments.logs.store import CHUNK_BYTES, AnotherWriter, StreamStore, open_stream
from deployments.models import LogChunk, LogStream
from infrastructure.secret import Masker

__all__ = ["LogWriter", "open_stream"]

CHUNK_SECONDS = 0.1
RETRY_SECONDS = 0.5
MOST_WAITING = 8 * 1024 * 1024  # characters that wait for a database that is away; more is dropped, and said
MOST_AT_ONCE = 8 * CHUNK_BYTES
CLOSE_SECONDS = 30.0  # how long ``close`` waits for a database that is away
logger = logging.getLogger(__name__)


class LogWriter:
    """The stream's writer, for as long as a job runs. Thread-safe; a context manager.

    While PostgreSQL answers, a source that is quicker than it waits. When it is away, up to ``MOST_WAITING``
    characters are kept and the rest is dropped; the log says how many lines that were.
    """

    def __init__(self, stream: LogStream, masker: Masker | None = None) -> None:
        self._store = StreamStore(stream.pk)
        self._store.reopen()
        self._assembler = LineAssembler(masker or Masker())
        self._changed = threading.Condition()
        self._waiting: list[str] = []
        self._waiting_size = 0
        self._storing: list[str] = []
        self._dropped = 0
        self._urgent = False
        self._closing = False
        self._ends = True
        self._away = False
        self._thread = threading.Thread(target=self._run, name=f"log-{stream.pk}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        with self._changed:
            self._add(self._assembler.feed(data))
            while self._waiting_size >= MOST_WAITING and not self._away and self._thread.is_alive():
                self._changed.wait(1.0)

    def write_line(self, text: str) -> None:
        """A line of Bakery's own, whatever the output before it ended with."""
        with self._changed:
            self._add([*self._assembler.finish(), *self._assembler.feed(text.encode() + b"\n")])

    def flush(self, timeout: float = CLOSE_SECONDS) -> bool:
        """Wait until every complete line is stored; False when that took too long."""
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._is_idle() or not self._thread.is_alive(), timeout)

    def close(self, *, end: bool = True) -> None:
        """Store what is left, with a last line that no newline ended. ``end``: nothing will be appended any more,
        and viewers are told so."""
        with self._changed:
            if not self._closing:
                self._add(self._assembler.finish())
            self._closing, self._ends = True, end
            self._changed.notify_all()
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            logger.error("The end of log %s could not be stored: the database is away.", self._store.stream_id)

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_idle(self) -> bool:
        return not self._waiting and not self._storing

    def _add(self, lines: list[str]) -> None:
        for line in lines:
            if self._away and self._waiting_size >= MOST_WAITING:
                self._dropped += 1
                continue
            self._waiting.append(line)
            self._waiting_size += len(line)
        if lines:
            self._changed.notify_all()

    def _run(self) -> None:
        deadline = None
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._waiting or self._closing or self._storing)
                    # The first line waits a moment for others to come into the same chunk.
                    self._changed.wait_for(
                        lambda: self._waiting_size >= CHUNK_BYTES or self._closing or self._urgent, CHUNK_SECONDS
                    )
                    self._take()
                    closing = self._closing
                if closing and deadline is None:
                    deadline = time.monotonic() + CLOSE_SECONDS
                if not self._store_taken():
                    if deadline and time.monotonic() > deadline:
                        return
                    time.sleep(RETRY_SECONDS)
                elif closing and self._finished():
                    return
        finally:
            connection.close()

    def _finished(self) -> bool:
        with self._changed:
            if not self._is_idle():
                return False
        try:
            if self._ends:
                self._store.end()
        except Error:
            connection.close()
            return False
        return True

    def _take(self) -> None:
        """Move lines from waiting to storing, where they stay until they are known to be committed."""
        if self._storing:
            return
        size = count = 0
        for line in self._waiting:
            if size >= MOST_AT_ONCE:
                break
            size, count = size + len(line), count + 1
        self._storing, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_size -= size
        if self._dropped and not self._waiting:
            self._storing.append(f"[{self._dropped:,} lines are missing here: the database did not answer]\n")
            self._dropped = 0

    def _store_taken(self) -> bool:
        """Whether the lines taken are stored. After a failure the stream itself tells whether they were."""
        lines = self._storing
        try:
            if self._away and self._already_stored(lines):
                lines = []
            self._store.append(lines)
        except (Error, AnotherWriter) as error:
            if not self._away:
                logger.warning("Log %s waits: %s", self._store.stream_id, str(error).strip())
            self._away = True
            connection.close()
            return False
        except LogStream.DoesNotExist:
            lines = []  # deleted with its deployment: nobody will read it
        with self._changed:
            self._storing, self._away, self._urgent = [], False, self._urgent and bool(self._waiting)
            self._changed.notify_all()
        return True

    def _already_stored(self, lines: list[str]) -> bool:
        """Look whether a commit whose answer was lost came through, and take the counters as they are now."""
        before = self._store.next_seq
        self._store.reload()
        if not lines or self._store.next_seq == before:
            return False
        written = LogChunk.objects.filter(stream_id=self._store.stream_id, seq__gte=before).order_by("seq")
        return "".join(written.values_list("data", flat=True)) == "".join(lines)
