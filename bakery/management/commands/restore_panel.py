from __future__ import annotations

import time
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bakery.management.base import BakeryCommand
from bakery.management.passphrase import passphrase
from bakery.models import Task, TaskState
from bakery.panel.restore import Restored, restore
from bakery.roles import Action
from deployments.services.status import url_of
from infrastructure.errors import Blame, Problem

LOOK_EVERY = 0.5  # seconds


class Command(BakeryCommand):
    help = (
        "Bring Bakery back from a backup that backup_panel wrote: people, deployments, variables, domains, history. "
        "This host keeps its own addresses, ports and passwords. Then what was live is deployed again: the same "
        "commit with the same configuration."
    )
    action = Action.ADMINISTER
    examples = ("restore_panel bakery.sealed",)
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="What backup_panel has written.")
        parser.add_argument("--passphrase-file", metavar="PATH", help="Read the passphrase from here; no prompt.")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="Also when this Bakery has deployments: they are ended and what it knows is replaced.",
        )
        parser.add_argument("--no-wait", action="store_true", help="Do not follow the deploys to their end.")

    def perform(self, options: dict[str, Any]) -> None:
        secret = passphrase(options["passphrase_file"], new=False)
        restored = restore(
            options["file"].absolute(),
            secret,
            replace_panel=options["replace"],
            by_email=options["as_email"],
            say=self.say,
        )
        wait = restored.is_started and not options["no_wait"]
        tasks = self._to_their_end(restored.tasks) if wait else restored.tasks
        self._report(restored, tasks)
        failed = [task for task in tasks if task.is_finished and task.state != TaskState.SUCCEEDED]
        if failed:
            raise Problem(
                "restore.deploys-failed",
                f"Bakery is restored, but {len(failed)} of {len(tasks)} applications could not be deployed: "
                + ", ".join(task.subject for task in failed),
                "Mend what is named above, then deploy them.",
                blame=Blame.HOST,
            )

    def interrupted(self) -> str:
        return "look with manage.py status whether Bakery was restored; deploys that were asked for go on."

    def _to_their_end(self, tasks: list[Task]) -> list[Task]:
        told: set[int] = set()
        while True:
            found = list(Task.objects.for_feed().defer("release__snapshot").filter(pk__in=[task.pk for task in tasks]))
            for task in sorted(found, key=lambda task: task.pk):
                if task.is_finished and task.pk not in told:
                    told.add(task.pk)
                    self.say(f"  {task.subject}: {_outcome(task)}")
            if len(told) == len(found):
                return found
            time.sleep(LOOK_EVERY)

    def _report(self, restored: Restored, tasks: list[Task]) -> None:
        if self.as_json:
            deploys = [
                {"name": task.subject, "task": task.pk, "state": task.state, "error": task.error_message or None}
                for task in tasks
            ]
            self.data(
                {
                    "backup": asdict(restored.about),
                    "settings": restored.brought,
                    "deploys": deploys,
                    "started": restored.is_started,
                    "notes": restored.notes,
                }
            )
            return
        self.say(f"Restored: {len(restored.about.deployments)} deployments, {restored.about.people} people.")
        self.say(f"From the backup: the settings {', '.join(restored.brought)}. All others are this host's own.")
        for note in restored.notes:
            self.say(note)
        self.say("Sign in with an account of the backup.")
        if not restored.is_started:
            self.say(f"Bakery's processes were not running. Start them: {restored.how_to_start}")


def _outcome(task: Task) -> str:
    if task.state == TaskState.SUCCEEDED and task.deployment:
        return f"live at {url_of(task.deployment)}"
    return f"{task.get_state_display().lower()}: {task.error_message} {task.error_hint}".rstrip(": ")
