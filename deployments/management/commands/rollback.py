from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.models import Task
from deployments.management.base import TaskCommand
from deployments.models import Deployment, Release
from deployments.services import requests
from deployments.services.releases import can_roll_back_to
from infrastructure.errors import Problem


class Command(TaskCommand):
    help = "Make an earlier release live again, with the configuration that it had. No git, no build."
    examples = ("rollback shop", "rollback shop --to 4")
    done = "{name} {release} is live again: {url}"

    def arguments(self, parser: ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument("--to", metavar="NUMBER", help="The release, such as 4 or v4. Left out: the one before.")

    def ask(self, deployment: Deployment, options: dict[str, Any]) -> Task:
        to = find_release(deployment, options["to"]) if options["to"] else None
        return requests.rollback(deployment, by=self.by, to=to)


def find_release(deployment: Deployment, number: str) -> Release:
    digits = number.removeprefix("v")
    found = deployment.releases.filter(number=int(digits)).first() if digits.isdecimal() and len(digits) < 9 else None
    if found is None:
        retained = ", ".join(f"v{release.number}" for release in can_roll_back_to(deployment))
        raise Problem(
            "release.unknown",
            f"{deployment.name} has no release {number}.",
            f"It can go back to: {retained}." if retained else "It has none to go back to.",
        )
    return found
