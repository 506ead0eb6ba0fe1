"""Follows the log of one Docker container, from a saved cursor, in a thread of its own.

A cursor is the container, a second, and how many of the lines that Docker dates to that second were stored. Docker is
asked for everything since that second and those lines are skipped: its API takes no finer position.
"""

from __future__ import annotations

import logging
import threading
import time
from calendar import timegm
from collections.abc import Mapping
from typing import Any

from deployments.logs.tail import Piece

MOST_HELD = 1024 * 1024  # bytes that wait for the collector; Docker keeps the rest
RETRY_SECONDS = 1.0
logger = logging.getLogger(__name__)


class ContainerTail:
    """``client`` is a ``docker.DockerClient``; ``name`` the container's, ``release_id`` whose lines are wanted."""

    def __init__(self, client: Any, name: str, release_id: int, cursor: Mapping[str, object]) -> None:
        self._client = client
        self._name = name
        self._release_id = release_id
        self._changed = threading.Condition()
        self._generation = 0
        self._frames: list[tuple[bytes, dict[str, object]]] = []
        self._held = 0
        self._position: dict[str, object] = {}
        self.rewind(cursor)

    def rewind(self, cursor: Mapping[str, object]) -> None:
        with self._changed:
            self._generation += 1  # the thread before this one ends
            self._frames, self._held, self._position = [], 0, dict(cursor)
            self._changed.notify_all()
            arguments = (self._generation, dict(cursor))
        threading.Thread(target=self._follow, args=arguments, name=f"tail-{self._name}", daemon=True).start()

    def read(self, most: int) -> Piece | None:
        data, cursor = bytearray(), None
        with self._changed:
            taken = 0
            for frame, position in self._frames:
                if data and len(data) + len(frame) > most:
                    break
                taken += 1
                data += frame
                self._position = position
                if frame.endswith(b"\n"):
                    cursor = position
            del self._frames[:taken]
            self._held -= len(data)
            self._changed.notify_all()
        # Lines after the last complete one come again after a restart: their cursor is not given.
        return Piece(bytes(data), cursor) if data else None

    def position(self) -> dict[str, object]:
        return dict(self._position)

    def close(self) -> None:
        with self._changed:
            self._generation += 1
            self._frames = []
            self._changed.notify_all()

    def _follow(self, generation: int, cursor: dict[str, object]) -> None:
        complained = False
        while self._generation == generation:
            try:
                cursor = self._read_container(generation, cursor)
                complained = False
            except Exception as error:  # noqa: BLE001 - the SDK raises its own, requests' and urllib3's: all mean "later"
                if not complained:
                    logger.warning("The log of %s cannot be read for now: %s", self._name, error)
                complained = True
            with self._changed:
                self._changed.wait_for(lambda: self._generation != generation, RETRY_SECONDS)

    def _read_container(self, generation: int, cursor: dict[str, object]) -> dict[str, object]:
        """Read until the container ends or is replaced; returns the position reached."""
        container = self._client.containers.get(self._name)
        if container.labels.get("bakery.release") != str(self._release_id):
            return cursor
        if cursor.get("container") != container.id:
            cursor = {"container": container.id, "second": 0, "lines": 0}
        skip = int(str(cursor["lines"]))
        stream = container.logs(
            stream=True,
            follow=True,
            timestamps=True,
            stdout=True,
            stderr=True,
            since=int(str(cursor["second"])) or None,
        )
        second, lines = int(str(cursor["second"])), 0
        try:
            for frame in stream:
                stamp, _, text = frame.partition(b" ")
                moment = _second_of(stamp)
                second, lines = (moment, 1) if moment > second else (second, lines + 1)
                if moment <= int(str(cursor["second"])) and lines <= skip:
                    continue
                reached: dict[str, object] = {"container": container.id, "second": second, "lines": lines}
                if not self._hand_over(generation, text, reached):
                    break
                cursor, skip = reached, lines
        finally:
            stream.close()
        return cursor

    def _hand_over(self, generation: int, text: bytes, position: dict[str, object]) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._held < MOST_HELD or self._generation != generation)
            if self._generation != generation:
                return False
            self._frames.append((text, position))
            self._held += len(text)
            return True


def _second_of(stamp: bytes) -> int:
    """Seconds since 1970 of Docker's RFC 3339 time in UTC (``2026-01-31T12:00:00.123456789Z``)."""
    return timegm(time.strptime(stamp[:19].decode("ascii"), "%Y-%m-%dT%H:%M:%S"))
