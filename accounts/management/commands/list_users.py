from __future__ import annotations

from typing import Any

from accounts.models import User
from bakery.management.base import BakeryCommand
from bakery.management.tables import table
from bakery.roles import Action


class Command(BakeryCommand):
    help = "List everybody who has an account, with role and last sign-in."
    action = Action.MANAGE_USERS
    prints_data = True

    def perform(self, options: dict[str, Any]) -> None:
        people = User.objects.order_by("email")
        if self.as_json:
            self.data(
                [
                    {
                        "email": p.email,
                        "name": p.name,
                        "role": p.role,
                        "active": p.is_active,
                        "last_sign_in": p.last_login,
                    }
                    for p in people
                ]
            )
            return
        rows = [
            (
                p.email,
                p.role,
                "yes" if p.is_active else "no",
                f"{p.last_login:%Y-%m-%d %H:%M}" if p.last_login else "never",
            )
            for p in people
        ]
        self.stdout.write(table(("E-MAIL", "ROLE", "ACTIVE", "LAST SIGN-IN"), rows))
