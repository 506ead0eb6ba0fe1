from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.models import Task
from deployments.management.base import TaskCommand
from deployments.models import Deployment
from deployments.services import requests


class Command(TaskCommand):
    help = (
        "Deploy a deployment's branch, or another branch, tag or commit. Prints the build log while it waits. "
        "When the release fails, what was live before goes on serving."
    )
    examples = ("deploy shop", "deploy shop --ref v1.2.0")
    done = "{name} {release} is live: {url}"

    def arguments(self, parser: ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument(
            "--ref",
            default="",
            metavar="REF",
            help="A branch, tag or full commit SHA instead of the deployment's branch.",
        )

    def ask(self, deployment: Deployment, options: dict[str, Any]) -> Task:
        return requests.deploy(deployment, by=self.by, ref=options["ref"])
