"""How code that users wrote is kept away from Bakery: an own uid, limits, an own process group.

A ``Confinement`` is a plan; ``confined()`` turns an argv into the argv of ``launch.py``, which applies the
plan in the new process and then *becomes* the program. The plan travels in a 0600 file, so that neither
it nor the environment shows in an argv.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Protocol

from infrastructure import cgroups
from infrastructure.launcher import OF_CHECKOUT

MINIMAL_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
# A deployment's uid is one of these plus its id. systemd's table of uids (systemd.io/UIDS-GIDS) leaves the range from
# 1,879,048,192 to 2,147,483,647 unused, so no account, container or subordinate uid of the host has such a number.
FIRST_UID = 1_880_000_000
FETCH_OFFSET = 100_000_000  # git works under another uid than the app, which must not see its credentials
# Inside a container that maps the usual 65,536 uids alone.
FIRST_LOW_UID, LOW_UIDS = 30_000, 15_000


class Units(Protocol):
    """How commands become units of their own, on a host that has a manager of units (``systemd/transient.py``)."""

    def confined(
        self,
        confinement: Confinement,
        argv: list[str],
        env: dict[str, str],
        cwd: Path | None,
        links: Mapping[str, str],
        seconds: float,
    ) -> AbstractContextManager[tuple[list[str], dict[str, str]]]: ...

    def ran_out_of_memory(self, confinement: Confinement) -> bool: ...


@dataclass(frozen=True)
class Confinement:
    """Limits of one process tree.

    ``uid`` is None where Bakery itself is an ordinary user and cannot change it; ``cgroup`` is the name of the
    control group to make and join where the host lets us, else the limits fall back to rlimits ("": no limits, as
    something else, a unit of systemd say, sets them). ``reach`` are paths that the program must be able to get at
    even when Bakery's data directory lies below a directory that is closed to its uid. ``units``: a command of this
    confinement becomes a unit, named as its control group, instead.
    """

    cgroup: str
    uid: int | None = None
    memory_bytes: int = 512 * 1024 * 1024
    cpu_percent: int = 100  # of one core
    max_processes: int = 256
    nice: int = 0
    file_size_bytes: int | None = None
    reach: tuple[str, ...] = ()
    units: Units | None = None

    def as_dict(self) -> dict[str, object]:
        """What the launcher has to know."""
        known = asdict(replace(self, units=None))
        del known["units"]
        return known


@cache
def _all_uids_exist() -> bool:
    """Whether this user namespace maps the high uids (user_namespaces(7))."""
    try:
        ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return True
    highest = FIRST_UID + 2 * FETCH_OFFSET
    return any(int(first) <= FIRST_UID and int(first) + int(count) > highest for first, _, count in ranges)


def uid_for(deployment_id: int, *, fetching: bool = False) -> int | None:
    """The uid of a deployment's programs, or of git on its behalf; None: Bakery cannot change its uid."""
    if os.geteuid() != 0:
        return None
    if _all_uids_exist():
        return FIRST_UID + deployment_id + (FETCH_OFFSET if fetching else 0)
    return FIRST_LOW_UID + deployment_id % LOW_UIDS + (LOW_UIDS if fetching else 0)


def confinement_for(
    deployment_id: int,
    cgroup: str,
    *,
    fetching: bool = False,
    reach: tuple[str, ...] = (),
    units: Units | None = None,
    **limits: int | None,
) -> Confinement:
    """The confinement of a deployment's processes: as root every deployment gets a uid of its own."""
    return Confinement(
        cgroup=cgroup,
        uid=uid_for(deployment_id, fetching=fetching),
        reach=reach,
        units=units,
        **limits,  # type: ignore[arg-type]
    )


def instance_of(directory: Path) -> str:
    """A short name for the Bakery whose directory it is: two instances on one host share no control group."""
    return f"bakery-{hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:8]}"


@dataclass(frozen=True)
class Launch:
    """Everything that ``launch.py`` does. ``links``: path -> the directory elsewhere that it becomes a symlink to;
    ``starts``: a file that gets one line per start; ``release_id``: whose program it is, for who looks later."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    confinement: Confinement
    cwd: Path | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    starts: Path | None = None
    release_id: int | None = None

    def text(self) -> str:
        """What stands in the spec file, as JSON."""
        confinement = self.confinement.as_dict()
        return json.dumps(
            {
                "argv": list(self.argv),
                "env": dict(self.env),
                "cwd": str(self.cwd) if self.cwd else None,
                "reach": list(confinement.pop("reach")),  # type: ignore[call-overload]
                "links": dict(self.links),
                "starts": str(self.starts) if self.starts else None,
                "release_id": self.release_id,
                "confinement": confinement,
            }
        )


def launch_argv(spec: Path) -> list[str]:
    return OF_CHECKOUT.argv(spec)


@contextmanager
def confined(
    confinement: Confinement | None,
    argv: list[str],
    env: dict[str, str],
    cwd: Path | None,
    links: Mapping[str, str] | None = None,
    seconds: float = 0.0,
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The argv and environment with which the plan is carried out. At the end its file is removed and whatever the
    program left running in its group is killed. ``seconds``: its time limit, for who can hold it without Bakery."""
    if confinement is None:
        yield argv, env
        return
    if confinement.units is not None:
        with confinement.units.confined(confinement, argv, env, cwd, links or {}, seconds) as planned:
            yield planned
        return
    handle, name = tempfile.mkstemp(prefix="bakery-launch-")  # made with mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(Launch(tuple(argv), env, confinement, cwd, links or {}).text())
        yield launch_argv(Path(name)), dict(MINIMAL_ENVIRONMENT)
    finally:
        Path(name).unlink(missing_ok=True)
        cgroups.end(confinement.cgroup)


def ran_out_of_memory(confinement: Confinement) -> bool:
    """Whether the kernel ended a part of it because its memory limit was reached; asked before ``confined`` ends."""
    if confinement.units is not None:
        return confinement.units.ran_out_of_memory(confinement)
    return cgroups.oom_kills(confinement.cgroup) > 0
