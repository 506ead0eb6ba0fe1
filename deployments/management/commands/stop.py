from __future__ import annotations

from typing import Any

from bakery.models import Task
from deployments.management.base import TaskCommand
from deployments.models import Deployment
from deployments.services import requests


class Command(TaskCommand):
    help = "Stop a deployment's processes. Its address shows Bakery's own page until it is started again."
    done = "{name} is stopped."

    def ask(self, deployment: Deployment, options: dict[str, Any]) -> Task:
        return requests.stop(deployment, by=self.by)
