from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.utils import timezone

from bakery.management.base import BakeryCommand
from bakery.management.tables import ago, table
from bakery.roles import Action
from databases.services.due import what_is_due
from deployments.management.base import find_deployment
from deployments.models import Deployment
from deployments.services.settings import not_live_yet
from deployments.services.status import status_of, url_of
from deployments.shapes import deployment_detail, deployment_shape, release_shape, task_shape

HISTORY = 10  # releases and tasks shown of one deployment


class Command(BakeryCommand):
    help = "Show all deployments, or one in detail: what is live, its releases, what was asked of it."
    action = Action.VIEW
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", nargs="?", help="The deployment. Left out: all of them.")

    def perform(self, options: dict[str, Any]) -> None:
        if options["name"]:
            self._one(find_deployment(options["name"]))
        else:
            self._all(list(Deployment.objects.for_list()))

    def _all(self, deployments: list[Deployment]) -> None:
        if self.as_json:
            self.data([deployment_shape(deployment) for deployment in deployments])
        elif deployments:
            self.stdout.write(
                table(
                    ("NAME", "STATUS", "RELEASE", "COMMIT", "SEEN", "ADDRESS"), [_row(found) for found in deployments]
                )
            )
        else:
            self.stdout.write("There is no deployment yet. Make one with manage.py create_deployment.")

    def _one(self, deployment: Deployment) -> None:
        releases = list(deployment.releases.for_history()[:HISTORY])
        tasks = list(deployment.tasks.for_feed().defer("release__snapshot")[:HISTORY])
        if self.as_json:
            self.data(
                {
                    **deployment_detail(deployment),
                    "releases": [release_shape(release) for release in releases],
                    "tasks": [task_shape(task) for task in tasks],
                }
            )
            return
        status = status_of(deployment)
        self.stdout.write(f"{deployment.name}: {status.label}{f' ({status.detail})' if status.detail else ''}")
        self.stdout.write(f"  {url_of(deployment)}  seen {_ago(status.seen_at)}")
        self.stdout.write(f"  {deployment.repository} {deployment.branch}")
        if changed := not_live_yet(deployment):
            self.stdout.write(f"  Not live yet: {', '.join(changed)}. Deploy to make it so.")
        for found in what_is_due(deployment):
            if found.verb == "restart":
                self.stdout.write(f"  {found.said}")
        if releases:
            rows = [
                (r, r.get_state_display(), r.commit_sha[:8], _ago(r.created_at), r.error_message[:80]) for r in releases
            ]
            self.stdout.write("\n" + table(("RELEASE", "STATE", "COMMIT", "MADE", ""), rows))
        if tasks:
            feed = [
                (t.pk, t.get_kind_display(), t.get_state_display(), _ago(t.created_at), t.error_message[:80])
                for t in tasks
            ]
            self.stdout.write("\n" + table(("TASK", "WHAT", "STATE", "ASKED", ""), feed))


def _row(deployment: Deployment) -> tuple[str, ...]:
    status = status_of(deployment)
    current = deployment.current_release
    return (
        deployment.name,
        status.label,
        str(current) if current else "–",
        current.commit_sha[:8] if current else "–",
        _ago(status.seen_at),
        url_of(deployment),
    )


def _ago(moment: datetime | None) -> str:
    return ago((timezone.now() - moment).total_seconds() if moment else None)
