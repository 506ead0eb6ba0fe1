from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from django.conf import settings

from bakery.management.base import BakeryCommand
from bakery.roles import Action
from deployments.models import Slot
from infrastructure.runtime import Observation, ProcessState


class Command(BakeryCommand):
    help = (
        "Carry what the applications write into their logs, and note whether they run, until it is told to end. "
        "One such process per instance; killed at any moment it goes on where it was."
    )
    action = Action.ADMINISTER

    def perform(self, options: dict[str, Any]) -> None:
        from deployments.logs.collector import Collector

        stop = threading.Event()

        def end(_number: int, _frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        Collector(settings.BAKERY.logs_dir / "processes", observe, docker_client).run(stop)


def observe(slot: Slot) -> Observation:
    from deployments.services.host import runtimes

    if slot.release is None or slot.release.runtime not in runtimes():
        return Observation(ProcessState.MISSING)
    return runtimes()[slot.release.runtime].observe(slot.deployment_id, slot.name)


def docker_client() -> Any:
    import docker  # its import alone takes 15 MB, which a host without containers need not spend

    try:
        return docker.from_env(timeout=60)
    except docker.errors.DockerException as error:
        raise ConnectionError(f"Docker does not answer: {error}") from error
