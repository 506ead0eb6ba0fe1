from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accounts import services
from bakery.management.base import BakeryCommand
from bakery.roles import Action, Role
from infrastructure.errors import Problem


class Command(BakeryCommand):
    help = "Change what a person may do, or whether they may sign in at all. The last active admin stays one."
    action = Action.MANAGE_USERS
    examples = ("set_role bob@example.com deployer", "set_role bob@example.com --inactive")

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="Whom.")
        parser.add_argument("role", choices=Role.values, nargs="?", help="Left out: the role stays as it is.")
        parser.add_argument("--active", action="store_true", default=None, help="Let them sign in again.")
        parser.add_argument("--inactive", dest="active", action="store_false", help="Refuse them from now on.")

    def perform(self, options: dict[str, Any]) -> None:
        person = services.find_person(options["email"])
        if person is None:
            raise Problem(
                "person.unknown", f"Nobody has the e-mail address {options['email']}.", "See manage.py list_users."
            )
        services.set_role(person, by=self.by, role=options["role"] or person.role, active=options["active"])
        self.stdout.write(f"{person.email}: {person.role}{'' if person.is_active else ', may not sign in'}.")
