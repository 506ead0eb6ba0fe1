"""Whether a server asks for a password at all: behind one that does not, no database is closed to anybody."""

from __future__ import annotations

from dataclasses import replace

from infrastructure.errors import HostProblem
from infrastructure.postgres.server import Place


def lets_anyone_in(place: Place) -> bool:
    """Tried with a password that nobody has: pg_hba.conf may say “trust”."""
    try:
        replace(place, parts={**place.parts, "password": "not-the-password"}).connect().close()
    except HostProblem:
        return False
    return True
