"""What Bakery's image builds leave behind in the engine, kept under a budget. Nobody else's is touched.

Neither builder lets its layers carry a label, so Bakery writes down what tells its own:

- the classic builder prints the id of each image between two steps; those that were made during the build are noted;
- BuildKit names nothing. Its records are taken for ours when they were made, and last used, while one of our builds
  ran. Somebody else's build at the very same time could be taken for ours as well: it would lose cache, nothing more.
"""

from __future__ import annotations

import calendar
import fcntl
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infrastructure.docker.engine import translated
from infrastructure.errors import HostProblem
from infrastructure.files import write_atomically

if TYPE_CHECKING:
    from infrastructure.docker.engine import Engine

STEP = re.compile(rb"Step \d+/\d+ : (\S+)")
IMAGE = re.compile(rb" ---> ([0-9a-f]{12})")
FROM_CACHE = b" ---> Using cache"
LONGEST_LINE = 4096
KEPT_DAYS = 90  # how long a window is remembered: BuildKit's record of that age has been let go
CLOCKS = 2.0  # seconds by which the engine's clock may differ, and by which it lets go of a build later than its client


class StepImages:
    """Hears the classic builder's output; ``made`` are the short ids of the images that its steps printed."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self._line = b""
        self._is_ours = False

    def hear(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[:LONGEST_LINE]
        for line in (whole.rstrip(b"\r") for whole in lines):
            if step := STEP.match(line):
                self._is_ours = step[1].upper() != b"FROM"  # which prints the id of somebody's base image
            elif line == FROM_CACHE:
                self._is_ours = False
            elif self._is_ours and (image := IMAGE.fullmatch(line)):
                self.made.add(image[1].decode())


@dataclass
class Notes:
    """The file: full ids of images, and the times between which BuildKit built for us."""

    images: set[str] = field(default_factory=set)
    windows: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Notes:
        try:
            found = json.loads(file.read_text())
            return cls(set(found["images"]), [(float(begin), float(end)) for begin, end in found["windows"]])
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, file: Path) -> None:
        oldest = time.time() - KEPT_DAYS * 86400
        windows = [window for window in self.windows if window[1] > oldest]
        write_atomically(file, json.dumps({"images": sorted(self.images), "windows": windows}), 0o600)

    def cover(self, moment: float) -> bool:
        return any(begin - CLOCKS <= moment <= end + CLOCKS for begin, end in self.windows)


class Leftovers:
    def __init__(self, file: Path) -> None:
        self.file = file

    @contextmanager
    def of_build(self, engine: Engine, *, buildkit: bool) -> Iterator[Callable[[bytes], None]]:
        """Gives what is to hear the build's output; notes down what the build made, also when it fails."""
        began, steps = time.time(), StepImages()
        try:
            yield (lambda data: None) if buildkit else steps.hear
        finally:
            if buildkit:
                with self._notes() as notes:
                    notes.windows.append((began, time.time()))
            elif steps.made:
                made = _made_since(engine, steps.made, began)
                with self._notes() as notes:
                    notes.images |= made

    def trim(self, engine: Engine, budget: int) -> int:
        """Let go of the oldest until ``budget`` bytes are left; returns how many were freed."""
        notes = Notes.read(self.file)
        freed = 0
        if notes.images:
            gone, freed = _trim_images(engine, notes.images, budget)
            with self._notes() as fresh:
                fresh.images -= gone
        if notes.windows:
            freed += _trim_cache(engine, notes, budget)
        return freed

    @contextmanager
    def _notes(self) -> Iterator[Notes]:
        """Read, changed and written by one at a time: builds run beside each other."""
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            notes = Notes.read(self.file)
            yield notes
            notes.write(self.file)


def _made_since(engine: Engine, short: set[str], began: float) -> set[str]:
    """Full ids of those that are new: an older one was taken out of a cache that may be anybody's."""
    found = (engine.image(image) for image in short)
    return {image["Id"] for image in found if image and _seconds(image.get("Created", "")) >= began - CLOCKS}


def spare_images(listed: list[dict[str, Any]], ours: set[str]) -> dict[str, int]:
    """Of the engine's images those that are ours and of which nothing is made that is kept: id -> its own bytes."""
    by_id = {image["Id"]: image for image in listed}
    children: dict[str, list[str]] = {}
    for image in listed:
        children.setdefault(image.get("ParentId") or "", []).append(image["Id"])

    def is_spare(image: str) -> bool:
        return image in ours and not _names(by_id[image]) and all(map(is_spare, children.get(image, ())))

    def own_bytes(image: str) -> int:
        parent = by_id.get(by_id[image].get("ParentId") or "")
        return max(0, int(by_id[image]["Size"]) - (int(parent["Size"]) if parent else 0))

    return {image: own_bytes(image) for image in by_id if is_spare(image)}


def _names(image: Mapping[str, Any]) -> list[str]:
    tags = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
    return [tag for tag in tags if not tag.startswith("<none>")]


def _trim_images(engine: Engine, ours: set[str], budget: int) -> tuple[set[str], int]:
    """The ids that need no longer be remembered, and the bytes that were freed."""
    import docker.errors

    with translated():
        listed: list[dict[str, Any]] = engine.api.images(all=True)
    spare = spare_images(listed, ours)
    gone = ours - {image["Id"] for image in listed}
    total, freed = sum(spare.values()), 0
    made = {image["Id"]: int(image["Created"]) for image in listed}
    parents = {image["Id"]: image.get("ParentId") for image in listed if image["Id"] in spare}
    refused: set[str] = set()
    while total > budget:
        leaves = [image for image in parents if image not in refused and image not in parents.values()]
        if not leaves:
            break
        oldest = min(leaves, key=lambda image: made[image])
        try:
            with translated():
                try:
                    engine.api.remove_image(oldest, force=False, noprune=True)
                except docker.errors.NotFound:
                    pass
        except HostProblem as problem:
            if problem.id != "docker.refused":
                raise
            refused.add(oldest)  # a container is made of it: it stays
            continue
        del parents[oldest]
        gone.add(oldest)
        total, freed = total - spare[oldest], freed + spare[oldest]
    return gone, freed


def own_records(cache: list[dict[str, Any]], notes: Notes) -> list[dict[str, Any]]:
    """BuildKit's records that are ours, take space of their own and are not in use; the one used longest ago first."""
    ours = [
        record
        for record in cache
        if notes.cover(_seconds(record.get("CreatedAt", "")))
        and notes.cover(_seconds(record.get("LastUsedAt") or record.get("CreatedAt", "")))
        and not record.get("InUse")
        and not record.get("Shared")
    ]
    return sorted(ours, key=lambda record: str(record.get("LastUsedAt") or record["CreatedAt"]))


def _trim_cache(engine: Engine, notes: Notes, budget: int) -> int:
    """Records are let go one by one: the engine takes a single id at a time, and refuses one that others build upon."""
    freed = 0
    while True:
        with translated():
            records = own_records(engine.api.df().get("BuildCache") or [], notes)
        total, round_freed = sum(int(record["Size"]) for record in records), 0
        for record in records:
            if total - round_freed <= budget:
                return freed + round_freed
            with translated():
                answer = engine.api.prune_builds(filters={"id": record["ID"]}, all=True)  # type: ignore[arg-type] # the stubs lack id
            round_freed += int(answer.get("SpaceReclaimed") or 0)
        freed += round_freed
        if not round_freed:  # what is left is built upon by what is kept
            return freed


def _seconds(stamp: str) -> float:
    """Seconds since 1970 of an RFC 3339 time in UTC or with an offset; 0 for none."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?", stamp)
    if not match:
        return 0.0
    seconds = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")) + float(match[2] or 0)
    if match[3] and match[3] != "Z":
        hours, minutes = int(match[3][:3]), int(match[3][0] + match[3][4:])
        seconds -= hours * 3600 + minutes * 60
    return seconds
