"""Looks for a newer version of Bakery, in the mirror that root's worker may write to. Pages show what was seen last."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from bakery import version
from bakery.events import announce
from bakery.models import AvailableVersion
from bakery.updates.requests import place
from infrastructure.errors import Problem
from infrastructure.version_file import Version

if TYPE_CHECKING:  # pages read what was seen; what acts on the host is loaded by whoever looks
    from infrastructure.update.mirror import Mirror

EVERY, AGAIN = timedelta(days=1), timedelta(hours=1)  # ``AGAIN``: after a look that saw nothing
ONLY = 1  # there is one row


def last_look() -> AvailableVersion:
    return AvailableVersion.objects.filter(pk=ONLY).first() or AvailableVersion(pk=ONLY)


def is_due() -> bool:
    if not settings.BAKERY.install_dir:
        return False
    row = last_look()
    updated_since = bool(row.current_sha) and not row.problem and row.current_sha != version.current().sha
    return row.looked_at is None or updated_since or timezone.now() - row.looked_at > (AGAIN if row.problem else EVERY)


def look(ref: str = "") -> AvailableVersion:
    """Fetch, and keep what is new. Where that fails, what was seen before stays, with the reason beside it.
    ``ref``: a look at another version than the newest, which is not kept."""
    from infrastructure.runner import Runner
    from infrastructure.secret import Masker
    from infrastructure.update.mirror import Mirror
    from infrastructure.update.place import take_over_network

    server = place()
    take_over_network(server)
    runner = Runner(masker=Masker(server.secrets()))
    mirror = Mirror(server.mirror, runner)
    row = last_look()
    row.looked_at = timezone.now()
    try:
        runner.masker = Masker([*server.secrets(), *mirror.passwords()])
        mirror.fetch()
        _fill(row, mirror, server.running(), mirror.resolve(ref))
        row.seen_at, row.problem = row.looked_at, ""
    except Problem as problem:
        row.problem = str(problem)
        if ref:
            raise
    if not ref:
        row.save()
        announce("update", ONLY)
    return row


def _fill(row: AvailableVersion, mirror: Mirror, running: Version, newest: Version) -> None:
    row.current_sha, row.sha, row.date = running.sha, newest.sha, newest.date
    row.changes, row.changelog = [], ""
    if newest.sha != running.sha and mirror.follows(running.sha, newest.sha):
        row.changes = [change.as_dict() for change in mirror.changes(running.sha, newest.sha)]
        row.changelog = mirror.changelog(running.sha, newest.sha)
    elif newest.sha != running.sha:  # what runs was chosen by --ref and is newer, or the branch was rewritten
        row.sha, row.date = running.sha, running.date
