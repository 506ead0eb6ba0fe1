from __future__ import annotations

from typing import Any

from bakery.roles import Action
from deployments.management.base import DeploymentCommand
from deployments.models import Deployment
from deployments.services import requests
from infrastructure.errors import Problem


class Command(DeploymentCommand):
    help = "Cancel what a deployment is doing and what it is about to do. What is live stays live."
    action = Action.DEPLOY

    def perform_on(self, deployment: Deployment, options: dict[str, Any]) -> None:
        # The waiting ones first: none begins meanwhile.
        tasks = list(deployment.tasks.unfinished().about_no_database().order_by("-pk"))
        if not tasks:
            raise Problem("cancel.nothing", f"{deployment.name} is doing nothing.")
        too_late = [task for task in tasks if not requests.cancel(task, by=self.by)]
        for task in tasks:
            self.stdout.write(f"{task}: {'it is too late to cancel it' if task in too_late else 'will end'}.")
        if len(too_late) == len(tasks):
            raise Problem("cancel.too-late", "Nothing could be cancelled.", "Roll back when it is done.")
