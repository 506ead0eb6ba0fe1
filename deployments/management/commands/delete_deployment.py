from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.management.base import Usage, at_a_terminal
from bakery.models import Task
from bakery.roles import Action
from databases.services.leaving import databases_to_drop
from deployments.management.base import TaskCommand
from deployments.models import Deployment
from deployments.services import requests
from infrastructure.errors import Problem


class Command(TaskCommand):
    help = (
        "Delete a deployment with everything that was made for it: processes, releases, logs, variables, "
        "persistent directories, and the databases that were made for it and that nobody else uses, after a last "
        "backup. It cannot be undone."
    )
    action = Action.DELETE_DEPLOYMENT
    examples = ("delete_deployment shop", "delete_deployment shop --yes --keep-databases")
    done = "{name} is deleted."

    def arguments(self, parser: ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument(
            "--yes", action="store_true", help="Do not ask for the name again; needed where nobody can be asked."
        )
        parser.add_argument("--keep-databases", action="store_true", help="Leave its databases, with what is in them.")

    def ask(self, deployment: Deployment, options: dict[str, Any]) -> Task:
        if not options["yes"]:
            if not at_a_terminal():
                raise Usage("Nobody is there to be asked: add --yes to delete it.")
            going = [] if options["keep_databases"] else databases_to_drop(deployment)
            with_it = f" and the databases {', '.join(one.name for one in going)}" if going else ""
            typed = input(f"This deletes {deployment.name}, its persistent files{with_it}. Type its name to go on: ")
            if typed.strip() != deployment.name:
                raise Problem("delete.not-confirmed", "That is not its name: nothing was deleted.")
        return requests.delete(deployment, by=self.by, keep_databases=options["keep_databases"])
