"""Writes down what is seen of every slot's process: ``Slot.observed_state`` and ``observed_at``."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable

from django.db import Error, connection
from django.utils import timezone

from bakery.events import announce
from deployments.models import Slot
from infrastructure.errors import Problem
from infrastructure.runtime import Observation, ProcessState

OBSERVE_SECONDS = 3.0
Observe = Callable[[Slot], Observation]
logger = logging.getLogger(__name__)


class Observer:
    """Looks in a thread of its own, so that an engine that does not answer holds up no log."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._seen: dict[int, Observation] = {}
        self._silent: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def last_seen(self, slot_id: int) -> Observation | None:
        return self._seen.get(slot_id)

    def look(self) -> None:
        """Observe every slot that has a release, once."""
        slots = list(Slot.objects.filter(release__isnull=False).select_related("release").defer("release__snapshot"))
        by_state: dict[ProcessState, list[int]] = defaultdict(list)
        for slot in slots:
            seen = self._ask(slot)
            if seen is None:
                continue
            self._seen[slot.pk] = seen
            by_state[seen.state].append(slot.pk)
        self._seen = {slot.pk: self._seen[slot.pk] for slot in slots if slot.pk in self._seen}
        for state, ids in by_state.items():
            Slot.objects.filter(pk__in=ids).update(observed_state=state.value, observed_at=timezone.now())
        for slot in slots:
            known = self._seen.get(slot.pk)
            if known and known.state.value != slot.observed_state:
                announce("deployment", slot.deployment_id)

    def _ask(self, slot: Slot) -> Observation | None:
        try:
            seen = self._observe(slot)
        except (Problem, OSError) as error:
            if slot.pk not in self._silent:
                logger.warning("Slot %s cannot be observed: %s", slot, error)
            self._silent.add(slot.pk)
            return None  # its last observation stands, with its time
        self._silent.discard(slot.pk)
        return seen

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Error as error:
                logger.warning("Observations wait for the database: %s", str(error).strip())
                connection.close()
            except Exception:
                logger.exception("An observation failed.")
            self._stop.wait(OBSERVE_SECONDS)
        connection.close()
