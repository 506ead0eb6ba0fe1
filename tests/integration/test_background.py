from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from infrastructure.quickstart import processes
from tests.instance import Instance
from tests.integration.waiting import until

pytestmark = pytest.mark.slow
NAMES = {"worker-deploys", "worker-housekee", "collector"}  # the kernel keeps 15 characters of a name


def children(instance: Instance) -> dict[str, int]:
    """Name -> pid of the processes that are forked from the background's parent."""
    named = {}
    for process in processes.of_instance(instance.place):
        with contextlib.suppress(OSError):  # it ended just now
            named[process.pid] = (process.parent, Path(f"/proc/{process.pid}/comm").read_text().strip())
    # What one of them starts has its name as well, until it is another program.
    return {
        name: pid for pid, (parent, name) in named.items() if name in NAMES and named.get(parent, (0, ""))[1] != name
    }


def parent(instance: Instance) -> int:
    (process,) = {processes.read_process(pid).parent for pid in children(instance).values()}  # type: ignore[union-attr]
    return process


def test_a_killed_worker_is_started_again_and_the_others_do_not_notice(instance: Instance) -> None:
    until(lambda: children(instance).keys() == NAMES)
    before = children(instance)
    os.kill(before["worker-deploys"], signal.SIGKILL)
    until(lambda: children(instance).get("worker-deploys") not in (None, before["worker-deploys"]))
    after = children(instance)
    assert {name: pid for name, pid in after.items() if name != "worker-deploys"} == {
        name: pid for name, pid in before.items() if name != "worker-deploys"
    }
    until(lambda: instance.health().status_code == 200)


def test_when_their_parent_is_killed_none_of_them_is_left_twice(instance: Instance) -> None:
    until(lambda: children(instance).keys() == NAMES)
    before = set(children(instance).values())
    os.kill(parent(instance), signal.SIGKILL)
    until(lambda: children(instance).keys() == NAMES and before.isdisjoint(children(instance).values()))
    everything = {process.pid for process in processes.of_instance(instance.place)}
    until(lambda: all(processes.read_process(pid) is None for pid in before & everything), timeout=60)
    until(lambda: instance.health().status_code == 200)
