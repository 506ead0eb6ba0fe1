from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.management.base import BakeryCommand
from bakery.management.help import wait_argument
from bakery.models import Task
from bakery.roles import Action
from bakery.updates import requests
from bakery.updates.following import UpdateFollower
from bakery.updates.looking import look
from bakery.updates.shapes import Known, known, known_shape
from deployments.shapes import task_shape
from infrastructure.errors import Problem

SHOWN = 30  # changes


class Command(BakeryCommand):
    help = (
        "Update Bakery itself, on a server that install.sh made. Sites go on serving. When anything fails, the old "
        "version and its database are put back."
    )
    action = Action.UPDATE_BAKERY
    examples = ("update --check", "update", "update --ref v1.2.0")
    prints_data = True
    _task: Task | None = None

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="Only look which version is available, and what is new."
        )
        parser.add_argument(
            "--ref", default="", metavar="REF", help="A branch, tag or commit instead of the newest version."
        )
        wait_argument(parser)

    def perform(self, options: dict[str, Any]) -> None:
        place = requests.place()
        found = known(self._look(options["ref"]))
        if options["check"] or not (found.is_newer or options["ref"]):
            self._print(found)
            return
        if not self.as_json:
            self._print(found)
        self._task = task = requests.update(by=self.by, ref=options["ref"])
        if options["wait"]:
            ended = UpdateFollower(place, task, say=self.say, log=self._log).to_the_end()
            self._done(task, ended.new)
        elif self.as_json:
            self.data(task_shape(task))
        else:
            self.say(f"Queued as task {task.pk}. See Activity, or {place.log_file(task.pk)}.")

    def interrupted(self) -> str:
        if self._task is None:
            return "nothing was asked."
        return f"no longer watching. The update goes on as task {self._task.pk}."

    def _look(self, ref: str) -> Any:
        """Now, not what was seen last: whoever is at the shell may fetch."""
        row = look(ref)
        if row.problem:
            raise Problem("update.cannot-fetch", row.problem)
        return row

    def _print(self, found: Known) -> None:
        if self.as_json:
            self.data(known_shape(found))
            return
        last = found.last
        self.stdout.write(f"Running    {found.current.short}  {found.current.date[:10]}")
        if not found.is_newer:
            self.stdout.write("There is nothing to update: this is the newest version.")
            return
        self.stdout.write(f"Available  {last.sha[:12]}  {last.date[:10]}")
        for change in last.changes[:SHOWN]:
            self.stdout.write(f"  {change['sha'][:12]}  {change['subject']}")
        if len(last.changes) > SHOWN:
            self.stdout.write(f"  … and {len(last.changes) - SHOWN} more")
        if last.changelog:
            self.stdout.write(f"\n{last.changelog}\n")

    def _done(self, task: Task, sha: str) -> None:
        if self.as_json:
            self.data({"task": task.pk, "state": "succeeded", "version": sha})
        else:
            self.say(f"Bakery runs {sha[:12]}.")

    def _log(self, text: str) -> None:
        out = self.stderr if self.as_json else self.stdout
        out.write(text, str, ending="")
        out.flush()
