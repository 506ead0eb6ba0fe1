"""What the ``--help`` of all commands has in common."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Iterable

from django.core.management.base import DjangoHelpFormatter

AS = "Act as this person: recorded under their name, and refused when their role may not."
JSON = "Print JSON, for programs."
EXIT_CODES = (
    "Exit codes: 0 it is done; 1 it failed, and why stands on standard error; "
    "2 the command was written wrongly; 130 interrupted by Ctrl-C."
)


class Lines(DjangoHelpFormatter):
    """Examples stay on lines of their own."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(super(Lines, self)._fill_text(line, width, indent) for line in text.split("\n"))


def epilog(examples: Iterable[str]) -> str:
    """``examples``: as they are typed behind ``manage.py``."""
    lines = [f"manage.py {example}" for example in examples]
    return "\n".join([*(["For example:", *lines, ""] if lines else []), EXIT_CODES])


def wait_argument(parser: ArgumentParser) -> None:
    """Of a command that asks a worker for something."""
    parser.add_argument(
        "--wait",
        action=BooleanOptionalAction,
        help="Follow it to its end, with its log; exit with 1 when it fails. Done unless told not to.",
    )
    parser.set_defaults(wait=True)  # as the option's own default some versions of Python would print it as well
