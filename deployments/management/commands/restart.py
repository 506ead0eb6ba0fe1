from __future__ import annotations

from typing import Any

from bakery.models import Task
from deployments.management.base import TaskCommand
from deployments.models import Deployment
from deployments.services import requests


class Command(TaskCommand):
    help = (
        "Restart a deployment's live release: beside itself where the deployment is blue-green, "
        "so that no request is lost."
    )
    done = "{name} was restarted: {url}"

    def ask(self, deployment: Deployment, options: dict[str, Any]) -> Task:
        return requests.restart(deployment, by=self.by)
