"""Carries the output of one release's process from where it is written into its stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from deployments.logs.lines import LineAssembler
from deployments.logs.store import StreamStore
from deployments.logs.tail import Piece
from infrastructure.secret import Masker

TURN_BYTES = 128 * 1024  # how much of one log is read before the others have their turn
SHORTEST_PAUSE, LONGEST_PAUSE = 0.08, 1.0  # between two looks at a log: the first while it is busy
QUIET_SECONDS = 4.0  # how long the log of an ended process stays silent before it is closed; a restart is quicker
MISSED = b"[some lines are missing here: they were rotated away before they could be read]\n"


class Source(Protocol):
    def read(self, most: int) -> Piece | None: ...

    def position(self) -> dict[str, object]: ...

    def rewind(self, cursor: Mapping[str, object]) -> None: ...

    def close(self) -> None: ...


class Follower:
    """``look_anew`` is called when something was read: the masker may have to learn of a new secret in it.
    ``step`` is called again and again. ``django.db.Error`` and ``AnotherWriter`` come out of it; the next step
    then goes on from what the database knows, so that nothing is lost or doubled."""

    def __init__(
        self, source: Source, store: StreamStore, masker: Masker, look_anew: Callable[[], None] = lambda: None
    ) -> None:
        self.source = source
        self.store = store
        self.masker = masker
        self.gone_since: float | None = None
        self.due = 0.0
        self._look_anew = look_anew
        self._assembler = LineAssembler(masker)
        self._pause = SHORTEST_PAUSE
        self._broken = False
        self._last_data = time.monotonic()

    def process_is(self, *, alive: bool) -> None:
        if alive:
            self.gone_since = None
        elif self.gone_since is None:
            self.gone_since = time.monotonic()

    def step(self) -> bool:
        """Read and store some; whether there may be more at once."""
        if self._broken:
            self.store.reload()
            self.source.rewind(self.store.cursor)
            self._assembler = LineAssembler(self.masker)
        self._broken = True
        piece = self.source.read(TURN_BYTES)
        if piece:
            self._look_anew()
            self._take(piece)
        self._broken = False
        now = time.monotonic()
        if piece:
            self._pause, self._last_data = SHORTEST_PAUSE, now
        elif self.gone_since is None:
            # A quiet log is looked at less and less often: five hundred of them must cost next to nothing.
            self._pause = min(self._pause * 1.2, LONGEST_PAUSE)
        full = piece is not None and len(piece.data) >= TURN_BYTES
        self.due = now if full else now + self._pause
        return full

    def is_over(self) -> bool:
        """The process is gone and nothing has come since."""
        now = time.monotonic()
        gone = self.gone_since
        return gone is not None and now - max(gone, self._last_data) > QUIET_SECONDS and not self._broken

    def end(self) -> None:
        """Store an unfinished last line and end the stream."""
        self._broken = True
        self.store.append(self._assembler.finish(), self.source.position() or None)
        self.store.end()
        self._broken = False
        self.source.close()

    def _take(self, piece: Piece) -> None:
        if piece.missed:
            self._assembler = LineAssembler(self.masker)
        lines = self._assembler.feed(MISSED + piece.data if piece.missed else piece.data)
        if self.store.ended:
            self.store.reopen()
        if lines:
            self.store.append(lines, piece.cursor)
