"""What is known of versions, for the page, the API and the command alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bakery import version
from bakery.models import AvailableVersion, Task, TaskKind
from bakery.updates.looking import last_look
from bakery.updates.requests import why_not_here
from infrastructure.errors import Problem
from infrastructure.version_file import Version


@dataclass(frozen=True)
class Known:
    current: Version
    last: AvailableVersion
    running: Task | None
    why_not: Problem | None

    @property
    def is_newer(self) -> bool:
        """Whether what was seen is an update of what runs; what was seen before the last update says nothing."""
        return bool(self.last.sha) and self.last.current_sha == self.current.sha != self.last.sha

    @property
    def is_newest(self) -> bool:
        return bool(self.last.seen_at) and self.current.sha == self.last.sha


def known(last: AvailableVersion | None = None) -> Known:
    running = Task.objects.unfinished().filter(kind=TaskKind.UPDATE).first()
    return Known(version.current(), last or last_look(), running, why_not_here())


def known_shape(found: Known) -> dict[str, Any]:
    last, why_not = found.last, found.why_not
    return {
        "current": {"sha": found.current.sha, "date": found.current.date},
        "available": {"sha": last.sha, "date": last.date} if found.is_newer else None,
        "changes": last.changes if found.is_newer else [],
        "changelog": last.changelog if found.is_newer else "",
        "seen_at": last.seen_at.isoformat() if last.seen_at else None,
        "looking_failed": last.problem,
        "task": found.running.pk if found.running else None,
        "why_not": {"id": why_not.id, "message": why_not.message, "hint": why_not.hint} if why_not else None,
    }
