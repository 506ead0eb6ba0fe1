from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction
from typing import Any

from bakery.management.base import BakeryCommand, Usage
from bakery.management.parsing import assignments
from bakery.roles import Action
from deployments.management.settings import given, settings_from
from deployments.management.text_input import read_text
from deployments.models import Runtime
from deployments.services.env import parse_dotenv
from deployments.services.settings import create_deployment
from deployments.services.status import url_of
from deployments.shapes import deployment_detail

TEXT_OPTIONS = ("branch", "base_directory", "health_path", "build_command", "start_command", "pre_deploy_command")
OWN_OPTIONS = (*TEXT_OPTIONS, "runtime", "blue_green", "one_writer")


class Command(BakeryCommand):
    help = "Make a deployment. It reserves its ports and its address; manage.py deploy NAME then brings it up."
    action = Action.CREATE_DEPLOYMENT
    examples = (
        "create_deployment shop --repo https://github.com/owner/shop.git --database",
        "create_deployment blog --repo https://github.com/owner/blog.git --one-writer --persistent data",
        "create_deployment api --repo https://github.com/owner/api.git --env LEVEL=info --set memory_mb=1024",
    )
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("name", metavar="NAME", help="Small letters, digits, hyphens; the first part of its address.")
        add("--repo", required=True, metavar="URL", help="The git repository, as its host shows it for cloning.")
        add("--branch", metavar="BRANCH", help="The branch to deploy (main).")
        add("--base-dir", dest="base_directory", metavar="DIR", help="The app's directory in the repository.")
        add("--runtime", choices=Runtime.values, help="auto: Docker where there is a Dockerfile, else Bun.")
        add(
            "--blue-green", action=BooleanOptionalAction, default=None, help="Start the new release beside the old one."
        )
        add("--one-writer", action=BooleanOptionalAction, default=None, help="Never run two releases at once (SQLite).")
        add("--health-path", metavar="PATH", help="Must answer 200 to 399 (/). Empty: an open port is enough.")
        add("--build-command", metavar="COMMAND", help="Instead of “bun run build”.")
        add("--start-command", metavar="COMMAND", help="Instead of “bun run start”.")
        add("--pre-deploy-command", metavar="COMMAND", help="In a deploy, before the new release starts: migrations.")
        add("--env", nargs="+", action="extend", default=[], metavar="K=V", help="Environment variables.")
        add("--env-file", metavar="FILE", help="A .env file of them; “-” is standard input.")
        add(
            "--persistent",
            nargs="+",
            action="extend",
            default=[],
            metavar="PATH",
            help="Directories that outlive releases.",
        )
        add(
            "--set",
            nargs="+",
            action="extend",
            default=[],
            metavar="FIELD=VALUE",
            help="Any other setting: memory_mb=1024.",
        )
        add("--database", action="store_true", help="Make a PostgreSQL database for it, as DATABASE_URL.")

    def perform(self, options: dict[str, Any]) -> None:
        env = parse_dotenv(read_text(options["env_file"])) if options["env_file"] else {}
        env.update(assignments(options["env"]))
        others = settings_from(options["set"])
        own = given(options, OWN_OPTIONS)
        if twice := sorted(own.keys() & others.keys()):
            raise Usage(f"{', '.join(twice)}: given twice, once with --set.")
        deployment = create_deployment(
            by=self.by,
            name=options["name"],
            repository=options["repo"],
            env=env,
            persistent=options["persistent"],
            database=options["database"],
            **own,
            **others,
        )
        if self.as_json:
            self.data(deployment_detail(deployment))
            return
        self.stdout.write(f"{deployment.name} was made. It will answer at {url_of(deployment)}")
        self.stdout.write(f"Bring it up: manage.py deploy {deployment.name}")
