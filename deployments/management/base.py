"""Commands about one deployment, and commands that ask a worker for something and wait for it."""

from __future__ import annotations

from abc import abstractmethod
from argparse import ArgumentParser
from typing import Any, ClassVar

from django.conf import settings

from bakery.management.base import BakeryCommand
from bakery.management.help import wait_argument
from bakery.models import Task
from bakery.roles import Action
from deployments.management.following import TaskFollower, for_terminal
from deployments.models import Deployment
from deployments.services.status import url_of
from deployments.shapes import task_shape
from infrastructure.errors import Problem


def find_deployment(name: str) -> Deployment:
    """The deployment of that name; the Problem names those that there are."""
    found = Deployment.objects.for_list().filter(name=name).first()
    if found is None:
        names = list(Deployment.objects.order_by("name").values_list("name", flat=True)[:10])
        hint = f"There are: {', '.join(names)}." if names else "Make one with manage.py create_deployment."
        raise Problem("deployment.unknown", f"There is no deployment called {name}.", hint)
    return found


class DeploymentCommand(BakeryCommand):
    """Takes NAME as its first argument."""

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="The deployment.")

    def perform(self, options: dict[str, Any]) -> None:
        self.perform_on(find_deployment(options["name"]), options)

    @abstractmethod
    def perform_on(self, deployment: Deployment, options: dict[str, Any]) -> None:
        """Do it to this deployment."""


class TaskCommand(DeploymentCommand):
    """Queues a task; with ``--wait`` (the default) prints its steps and its log, and fails when it fails."""

    action = Action.DEPLOY
    prints_data = True
    done: ClassVar[str] = "Done."  # what to say at the end; {name}, {url}, {release} stand in it
    _task: Task | None = None

    def arguments(self, parser: ArgumentParser) -> None:
        super().arguments(parser)
        wait_argument(parser)

    @abstractmethod
    def ask(self, deployment: Deployment, options: dict[str, Any]) -> Task:
        """Queue the task."""

    def perform_on(self, deployment: Deployment, options: dict[str, Any]) -> None:
        self._task = task = self.ask(deployment, options)
        if not queue_answers():
            self.say("Redis does not answer, so no worker was told. The task is written down: a worker will find it.")
        if not options["wait"]:
            self._print_queued(task)
            return
        url = url_of(deployment)  # asked now: a deleted deployment has none
        follower = TaskFollower(task, say=self.say, log=self._log)
        ended = follower.to_the_end()
        if self.as_json:
            self.data(task_shape(ended))
        else:
            release = f"v{ended.release.number}" if ended.release else ""
            self.say(self.done.format(name=deployment.name, url=url, release=release))

    def interrupted(self) -> str:
        if self._task is None:
            return "nothing was asked."
        return f"no longer watching. Task {self._task.pk} goes on; manage.py cancel {self._task.subject} ends it."

    def _print_queued(self, task: Task) -> None:
        if self.as_json:
            self.data(task_shape(task))
        else:
            self.say(f"Queued as task {task.pk}. manage.py status {task.subject} tells how it goes.")

    def _log(self, text: str) -> None:
        out = self.stderr if self.as_json else self.stdout
        out.write(for_terminal(out, text), str, ending="")
        out.flush()


def queue_answers() -> bool:
    """Whether workers can be told at all."""
    import redis

    try:
        with redis.Redis.from_url(settings.BAKERY.redis_url, socket_connect_timeout=2, socket_timeout=2) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
