"""Who was shown what may be seen by few is written down, and stays."""

from __future__ import annotations

from accounts.models import User
from bakery.events import announce
from databases.models import Database, Disclosure


def note_disclosure(database: Database, what: str, *, to: User | None) -> None:
    """Before it is shown. None: the operator at the shell."""
    Disclosure.objects.create(database=database, subject=database.name, what=what, shown_to=to)
    announce("database", database.pk)
