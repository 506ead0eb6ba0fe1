"""``VERSION`` in a release directory of a server: which commit it is. Written last: a directory with it is whole.

Two lines: the commit's full SHA, and when it was committed (ISO 8601).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infrastructure.files import read_if_there, write_atomically

NAME = "VERSION"
SHORT = 12  # digits of a release directory's name


@dataclass(frozen=True)
class Version:
    sha: str  # empty: not known
    date: str = ""

    @property
    def short(self) -> str:
        return self.sha[:SHORT]


def read(directory: Path) -> Version | None:
    """None: there is no such file, so this is a checkout of its own or an unfinished release."""
    text = read_if_there(directory / NAME)
    if not text or not text.strip():
        return None
    sha, *rest = text.split()
    return Version(sha, rest[0] if rest else "")


def write(directory: Path, version: Version) -> None:
    write_atomically(directory / NAME, f"{version.sha}\n{version.date}\n")
