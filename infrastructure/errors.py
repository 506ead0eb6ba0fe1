"""The one kind of error that a person gets to read.

Every error is typed by whose turn it is to act (``Blame``) and carries a stable id from the table
below, so that pages, tests and documentation can name it. ``message`` says what happened,
``hint`` what to do next. Neither may hold a secret.
"""

from __future__ import annotations

from enum import Enum


class Blame(str, Enum):
    APP = "app"  # the user's repository, settings or process
    HOST = "host"  # the machine: disk, ports, Nginx, PostgreSQL, Docker
    BAKERY = "bakery"  # our own bug


class Problem(Exception):
    """What went wrong, in words for a person. ``id`` is stable, e.g. ``git.no-such-branch``."""

    def __init__(self, id: str, message: str, hint: str = "", *, blame: Blame = Blame.APP) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.id = id
        self.message = message
        self.hint = hint
        self.blame = blame


class HostProblem(Problem):
    """The machine could not do what it was asked."""

    def __init__(self, id: str, message: str, hint: str = "") -> None:
        super().__init__(id, message, hint, blame=Blame.HOST)


class Refused(Problem, ValueError):
    """Input that a value object did not accept. A ``ValueError``, so that forms can map it to their field."""


class Cancelled(Exception):
    """The person asked for the running job to end."""


class LeaseLost(Exception):
    """Another worker owns the Deployment now; this one must not touch the host any more."""
