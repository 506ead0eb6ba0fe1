from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.management.base import BakeryCommand
from bakery.roles import Action
from domains.models import Domain
from domains.services.names import add_domain
from domains.services.panel import apply_panel
from infrastructure.hostnames import DomainName


class Command(BakeryCommand):
    help = "Bring Nginx to the names and the certificate of Bakery's own pages. Bakery does this by itself."
    action = Action.ADMINISTER

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--domain", metavar="NAME", help="Give the pages this name, too, unless they have it.")

    def perform(self, options: dict[str, Any]) -> None:
        name = options["domain"]
        if name and not Domain.objects.filter(deployment=None, hostname=DomainName(name)).exists():
            add_domain(None, name, by=self.by)
        apply_panel()
        self.say("Nginx has the panel's names.")
