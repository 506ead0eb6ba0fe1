"""The passphrase of a backup: typed unseen, or from a file."""

from __future__ import annotations

from getpass import getpass
from pathlib import Path

from bakery.management.base import Usage, at_a_terminal
from infrastructure.errors import Refused
from infrastructure.secret import Secret

SHORTEST = 12


def passphrase(file: str | None, *, new: bool) -> Secret:
    """``new``: it is chosen now, so it is asked for twice and has to be long enough."""
    if file is not None:
        found = _from_file(Path(file))
    elif not at_a_terminal():
        raise Usage("nobody can type the passphrase here: name a file with --passphrase-file.")
    else:
        found = getpass("Passphrase of the backup: ")
        if new and getpass("The same again: ") != found:
            raise Refused("input.passphrase", "The two were not the same.", "Run this again.")
    if new and len(found) < SHORTEST:
        raise Refused(
            "input.passphrase",
            f"The passphrase has {len(found)} characters; {SHORTEST} or more are needed.",
            "Without it nobody can read the backup: keep it apart from the file.",
        )
    return Secret(found)


def _from_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("input.file", f"{path} cannot be read: {error}.", "Name another file.") from error
