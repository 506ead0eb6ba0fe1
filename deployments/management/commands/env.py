from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.management.base import Usage
from bakery.management.parsing import assignments
from bakery.management.tables import table
from bakery.roles import Action
from deployments.management.base import DeploymentCommand
from deployments.management.text_input import ask_secret, read_text
from deployments.models import Deployment
from deployments.services.env import parse_dotenv, set_env, unset_env
from infrastructure.errors import Problem
from infrastructure.secret import MASK


class Command(DeploymentCommand):
    help = (
        "A deployment's environment variables: NAME set K=V …, NAME set K (asks for the value, or reads "
        "standard input), NAME unset K …, NAME list, NAME import FILE (a .env file; “-” is standard input). "
        "What changes here is live with the next deploy."
    )
    action = Action.EDIT_ENV
    examples = (
        "env shop list",
        "env shop set LEVEL=info LIMIT=20",
        "env shop set API_KEY",
        "env shop import production.env --run-only",
        "env shop unset LIMIT",
    )
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        super().arguments(parser)
        parser.add_argument("verb", choices=("set", "unset", "list", "import"), help="What to do.")
        parser.add_argument("items", nargs="*", metavar="K=V | K | FILE", help="What the verb is about.")
        parser.add_argument("--reveal", action="store_true", help="list: show the values too.")
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--build-only", action="store_true", help="set, import: for install and build alone.")
        only.add_argument("--run-only", action="store_true", help="set, import: for the running app alone.")

    def perform_on(self, deployment: Deployment, options: dict[str, Any]) -> None:
        items: list[str] = options["items"]
        verb = options["verb"]
        if verb == "list":
            self._list(deployment, reveal=options["reveal"])
        elif not items:
            raise Usage(f"Say what to {verb}.")
        elif verb == "unset":
            self._unset(deployment, items)
        else:
            values = self._imported(items) if verb == "import" else self._typed(items)
            set_env(
                deployment,
                by=self.by,
                values=values,
                build_time=not options["run_only"],
                run_time=not options["build_only"],
            )
            self._changed(deployment, "set", sorted(values))

    def _list(self, deployment: Deployment, *, reveal: bool) -> None:
        variables = list(deployment.env_vars.all()) if reveal else list(deployment.env_vars.defer("value"))
        rows = [(v.name, v.value.reveal() if reveal else MASK, v.build_time, v.run_time) for v in variables]
        if self.as_json:
            keys = ("name", "value", "build_time", "run_time") if reveal else ("name", "build_time", "run_time")
            self.data([dict(zip(keys, row if reveal else (row[0], *row[2:]), strict=True)) for row in rows])
        elif rows:
            cells = [
                (name, "yes" if build else "no", "yes" if run else "no", value) for name, value, build, run in rows
            ]
            self.stdout.write(table(("NAME", "BUILD", "RUN", "VALUE"), cells))
        else:
            self.stdout.write(f"{deployment.name} has no environment variables.")

    def _unset(self, deployment: Deployment, names: list[str]) -> None:
        gone = unset_env(deployment, by=self.by, names=names)
        if missing := sorted(set(names) - set(gone)):
            raise Problem(
                "env.unknown",
                f"{deployment.name} had no variable {', '.join(missing)}.",
                f"Unset: {', '.join(gone) or 'none'}.",
            )
        self._changed(deployment, "unset", sorted(gone))

    def _typed(self, items: list[str]) -> dict[str, str]:
        bare = [item for item in items if "=" not in item]
        if len(bare) > 1:
            raise Usage("Only one value can be asked for at a time: write the others as K=V.")
        return assignments([*(item for item in items if "=" in item), *(f"{name}={ask_secret(name)}" for name in bare)])

    def _imported(self, items: list[str]) -> dict[str, str]:
        if len(items) != 1:
            raise Usage("import takes one file.")
        return parse_dotenv(read_text(items[0]))

    def _changed(self, deployment: Deployment, what: str, names: list[str]) -> None:
        if self.as_json:
            self.data({what: names})
        else:
            self.stdout.write(
                f"{what.capitalize()}: {', '.join(names) or 'nothing'}. Live with the next deploy of {deployment.name}."
            )
