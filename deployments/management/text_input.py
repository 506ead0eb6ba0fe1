"""Text that comes from a file or from standard input, and secrets that are typed."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path

from bakery.management.base import at_a_terminal
from infrastructure.errors import Refused


def read_text(path: str) -> str:
    """The text of the file; “-” is standard input."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise Refused("input.file", f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused("input.file", f"{path} is not text in UTF-8.") from error


def ask_secret(name: str) -> str:
    """Typed unseen at a terminal, else all of standard input but its last line end."""
    if at_a_terminal():
        return getpass(f"{name}: ")
    return sys.stdin.read().removesuffix("\n")
