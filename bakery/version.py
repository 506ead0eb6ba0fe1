"""Which version of Bakery this process runs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bakery.environment import ROOT
from infrastructure import version_file
from infrastructure.errors import Problem
from infrastructure.version_file import Version

UNKNOWN = Version("")


@cache
def current() -> Version:
    """Of the files that this process was started from: a release directory says it itself, git describes a checkout."""
    return version_file.read(ROOT) or _of_checkout(ROOT)


def _of_checkout(directory: Path) -> Version:
    if not (directory / ".git").exists():
        return UNKNOWN
    from infrastructure.runner import Command, Runner  # the web process of a server never loads what acts on the host

    argv = ("git", "-c", "safe.directory=*", "-C", str(directory), "log", "-1", "--format=%H %cI", "--")
    try:
        found = Runner().run(Command(argv, timeout=10), check=False)
    except Problem:
        return UNKNOWN
    sha, _, date = found.output.strip().partition(" ")
    return Version(sha, date) if found.exit_code == 0 else UNKNOWN
