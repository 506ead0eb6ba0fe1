from __future__ import annotations

from typing import Any

from bakery.models import Task
from deployments.management.base import TaskCommand
from deployments.models import Deployment
from deployments.services import requests


class Command(TaskCommand):
    help = "Start a deployment that was stopped, with the release that it had."
    done = "{name} is running: {url}"

    def ask(self, deployment: Deployment, options: dict[str, Any]) -> Task:
        return requests.start(deployment, by=self.by)
