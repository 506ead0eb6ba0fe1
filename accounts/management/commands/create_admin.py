from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from accounts import services
from bakery.management.base import BakeryCommand
from bakery.roles import Action
from infrastructure.secret import Secret


class Command(BakeryCommand):
    help = (
        "Make an admin. Without PASSWORD one is generated and printed once; “-” reads it from standard input, "
        "so that it shows in no list of processes."
    )
    action = Action.MANAGE_USERS
    examples = ("create_admin you@example.com", "create_admin you@example.com --reset")
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", metavar="EMAIL", help="With which they sign in.")
        parser.add_argument("password", metavar="PASSWORD", nargs="?", help="12 characters or more.")
        parser.add_argument(
            "--reset",
            action="store_true",
            help="When EMAIL has an account: give it this password and the admin's role.",
        )

    def perform(self, options: dict[str, Any]) -> None:
        given = options["password"]
        if given == "-":
            given = sys.stdin.readline().rstrip("\n")
        password = services.generated_password() if given is None else Secret(given)
        created = services.create_admin(by=self.by, email=options["email"], password=password, reset=options["reset"])
        shown = password.reveal() if given is None else None
        email = options["email"].strip().lower()
        if self.as_json:
            self.data({"email": email, "created": created, "password": shown})
            return
        self.stdout.write(f"{email} is now an admin." if created else f"{email} is an admin with a new password.")
        if shown:
            self.stdout.write(f"Password: {shown}\nIt is not stored in readable form: note it now.")
