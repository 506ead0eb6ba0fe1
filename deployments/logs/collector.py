"""One process that carries what the applications write into their streams, and notes whether they run."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import Error, connection

from bakery import heartbeat
from deployments.logs.containers import ContainerTail
from deployments.logs.follower import Follower, Source
from deployments.logs.masking import ReleaseMasker
from deployments.logs.observing import Observe, Observer
from deployments.logs.store import AnotherWriter, StreamStore, open_stream
from deployments.logs.tail import FileTail
from deployments.models import LogStream, Release, Runtime, Slot, StreamKind
from infrastructure.errors import Problem
from infrastructure.runtime import ProcessState

LOOK_SECONDS = 1.0  # between two looks at which releases are in slots
RETRY_SECONDS = 1.0
ALIVE = (ProcessState.STARTING, ProcessState.RUNNING)
LOG_FILE = re.compile(r"release-(\d+)\.log")
logger = logging.getLogger(__name__)


class Collector:
    """``processes`` is the directory of the bun releases' logs; ``docker`` makes a client when one is needed."""

    def __init__(self, processes: Path, observe: Observe, docker: Callable[[], Any]) -> None:
        self.processes = processes
        self.observer = Observer(observe)
        self._docker = docker
        self._client: Any = None
        self._followers: dict[int, Follower] = {}
        self._finished: set[int] = set()  # releases whose process is gone and whose log was read to its end
        self._refused: set[int] = set()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set. What was not stored then is found again by the cursors."""
        self.observer.start()
        looked = 0.0
        while not stop.is_set():
            try:
                if not looked:
                    self._follow_left_behind()
                if not looked or time.monotonic() - looked > LOOK_SECONDS:
                    self._look()
                    heartbeat.alive("collector")
                    looked = time.monotonic()
                stop.wait(0.0 if self._step_all() else self._until_next())
            except Error as error:
                logger.warning("Logs wait for the database: %s", str(error).strip())
                connection.close()
                stop.wait(RETRY_SECONDS)
        heartbeat.gone("collector")
        self.observer.stop()
        for follower in self._followers.values():
            follower.source.close()

    def _until_next(self) -> float:
        now = time.monotonic()
        return max(0.01, min((f.due - now for f in self._followers.values()), default=LOOK_SECONDS / 4))

    def _step_all(self) -> bool:
        """One turn for each log that is due; whether one of them has more at once."""
        now = time.monotonic()
        more = False
        for release_id, follower in list(self._followers.items()):
            if follower.due > now:
                continue
            try:  # each log fails for itself
                more = follower.step() or more
                if follower.is_over():
                    follower.end()
                    del self._followers[release_id]
                    self._finished.add(release_id)
            except AnotherWriter:
                logger.warning("Somebody else wrote to log %s; going on behind it.", follower.store.stream_id)
            except LogStream.DoesNotExist:
                follower.source.close()
                del self._followers[release_id]
        return more

    def _look(self) -> None:
        """Follow the releases that are in slots; let go of the others when their logs are read."""
        slots = Slot.objects.filter(release__isnull=False).select_related("release").defer("release__snapshot")
        in_slots: set[int] = set()
        for slot in slots:
            release = slot.release
            if release is None:
                continue
            in_slots.add(release.pk)
            seen = self.observer.last_seen(slot.pk)
            # Until its first observation nothing is known of it: its log is opened and stays open.
            alive = seen is None or (seen.state in ALIVE and seen.release_id in (None, release.pk))
            if alive and seen:
                self._finished.discard(release.pk)
            if release.pk in self._finished:
                continue
            follower = self._followers.get(release.pk) or self._open(release, slot)
            if follower:
                follower.process_is(alive=alive)
        for release_id, follower in self._followers.items():
            if release_id not in in_slots:
                follower.process_is(alive=False)
        self._refused &= in_slots

    def _follow_left_behind(self) -> None:
        """Logs of releases that left their slots while no collector ran: read to their ends."""
        found = (LOG_FILE.fullmatch(path.name) for path in self.processes.glob("release-*.log"))
        ids = {int(match[1]) for match in found if match}
        unended = LogStream.objects.filter(kind=StreamKind.PROCESS, ended_at=None).values_list("release_id", flat=True)
        for release in Release.objects.filter(pk__in={*ids, *unended}, runtime=Runtime.BUN).defer("snapshot"):
            self._open(release, None)

    def _open(self, release: Release, slot: Slot | None) -> Follower | None:
        try:
            # Without its secrets nothing of it can be stored masked, so nothing is stored.
            masker = ReleaseMasker(release)
            store = StreamStore(open_stream(release, StreamKind.PROCESS).pk)
            source = self._source(release, slot, store)
        except (Problem, OSError) as error:
            if release.pk not in self._refused:
                logger.error("The log of release %s cannot be collected: %s", release.pk, error)
            self._refused.add(release.pk)
            return None
        follower = self._followers[release.pk] = Follower(source, store, masker, masker.refresh)
        return follower

    def _source(self, release: Release, slot: Slot | None, store: StreamStore) -> Source:
        if release.runtime == Runtime.DOCKER and slot is not None:
            if self._client is None:
                self._client = self._docker()
            name = f"bakery-deployment-{slot.deployment_id}-{slot.name}"
            return ContainerTail(self._client, name, release.pk, store.cursor)
        return FileTail(self.processes / f"release-{release.pk}.log", store.cursor)
