from __future__ import annotations

from typing import Any

from bakery.management.base import BakeryCommand
from bakery.roles import Action
from domains.services.panel import apply_panel


class Command(BakeryCommand):
    help = "Bring Nginx to the names and the certificate of Bakery's own pages. Bakery does this by itself."
    action = Action.ADMINISTER

    def perform(self, options: dict[str, Any]) -> None:
        apply_panel()
        self.say("Nginx has the panel's names.")
