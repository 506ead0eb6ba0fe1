"""What every command of Bakery shares: who acts, how it fails, what it prints for programs."""

from __future__ import annotations

import json
import logging
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from accounts.models import User
from bakery import broadcast
from bakery.management import help as help_text
from bakery.roles import Action
from infrastructure.errors import Problem


class Failed(CommandError):
    """Ends the command with exit code 1. Django prints it as “Failed: …”."""


class Usage(CommandError):
    """The command was written wrongly, in a way that argparse cannot see: exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=2)


class Interrupted(CommandError):
    """Ctrl-C: exit code 130, as a shell gives for SIGINT."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=130)


class BakeryCommand(BaseCommand):
    """A command that performs one ``Action``.

    Subclasses add arguments in ``arguments`` and do the work in ``perform``; they call services and let ``Problem``
    and ``ValidationError`` out. ``by`` is the person named with ``--as``; None is the operator at the shell, who may
    do everything, as whoever reads Bakery's keys can anyway.
    """

    action: ClassVar[Action]  # what it takes to use the command; one with verbs may say otherwise in ``needed_for``
    examples: ClassVar[tuple[str, ...]] = ()  # of what is typed behind “manage.py”
    prints_data: ClassVar[bool] = False  # whether it takes --json
    quiet: ClassVar[bool] = True  # whether the log lines below ERROR stay away from the terminal
    requires_system_checks = []  # the doctor's work; they would import the whole web side
    _called_from_command_line: bool
    by: User | None = None
    as_json = False

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=help_text.epilog(self.examples),
            formatter_class=help_text.Lines,
            **kwargs,
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.arguments(parser)
        parser.add_argument("--as", dest="as_email", metavar="EMAIL", help=help_text.AS)
        if self.prints_data:
            parser.add_argument("--json", dest="as_json", action="store_true", help=help_text.JSON)

    def arguments(self, parser: ArgumentParser) -> None:
        """Add the command's own arguments."""

    def needed_for(self, options: dict[str, Any]) -> Action:
        """What may be refused to the person named with ``--as``."""
        return self.action

    @abstractmethod
    def perform(self, options: dict[str, Any]) -> None:
        """Do it."""

    def handle(self, *args: Any, **options: Any) -> None:
        self.as_json = bool(options.get("as_json"))
        if self.quiet and self._called_from_command_line and options["verbosity"] < 2:
            logging.getLogger().setLevel(logging.ERROR)
        try:
            self.by = self._person(options.get("as_email"), self.needed_for(options))
            self.perform(options)
        except Problem as problem:
            raise self._failed(problem.id, problem.message, problem.hint) from problem
        except ValidationError as error:
            raise self._failed("input.invalid", *in_words(error)) from error
        except OperationalError as error:
            raise self._failed(
                "database.unreachable", f"PostgreSQL does not answer: {first_line(error)}", "See manage.py doctor."
            ) from error
        except KeyboardInterrupt:
            raise Interrupted(self.interrupted()) from None
        finally:
            broadcast.finish()

    def interrupted(self) -> str:
        """What to say after Ctrl-C."""
        return "what was done until now stays done."

    def data(self, value: object) -> None:
        """Print JSON on standard output."""
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def say(self, text: str) -> None:
        """Print progress: on standard error where standard output carries data."""
        out = self.stderr if self.as_json else self.stdout
        out.write(text, str)  # ``str``: no colour of an error
        out.flush()

    def _person(self, email: str | None, action: Action) -> User | None:
        if email is None:
            return None
        person = User.objects.filter(email__iexact=email, is_active=True).first()
        if person is None:
            raise Problem(
                "person.unknown", f"Nobody active has the e-mail address {email}.", "See manage.py list_users."
            )
        if not person.may(action):
            raise Problem(
                "permission.refused",
                f"{person.email} is a {person.role} and may not {action.label}.",
                "Ask an admin, or give them another role with manage.py set_role.",
            )
        return person

    def _failed(self, id: str, message: str, hint: str) -> Failed:
        if self.as_json and self._called_from_command_line:
            self.stderr.write(json.dumps({"id": id, "message": message, "hint": hint}, ensure_ascii=False), str)
            sys.exit(1)
        return Failed(f"{message}\n{hint}".rstrip())


def in_words(error: ValidationError) -> tuple[str, str]:
    """A ``ValidationError`` as message and hint: one line per field."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages), ""
    lines = [
        f"{'' if field == '__all__' else field + ': '}{message}"
        for field, messages in error.message_dict.items()
        for message in messages
    ]
    return "\n".join(lines), "Correct this and try again."


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def at_a_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
