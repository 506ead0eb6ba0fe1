from __future__ import annotations

import argparse
from argparse import ArgumentParser
from typing import Any

from bakery.management import help as help_text
from bakery.roles import Action
from databases.management.verbs import access, backups, making, restores, storages
from databases.management.verbs.verb import DatabaseCommand, Verb

GROUPS = (making.VERBS, access.VERBS, backups.VERBS, restores.VERBS, storages.VERBS)
VERBS: dict[str, Verb] = {verb.name: verb for group in GROUPS for verb in group}


class Command(DatabaseCommand):
    help = (
        "PostgreSQL databases: made, changed, backed up, restored, dropped. “manage.py database VERB --help” tells "
        "about one verb."
    )
    examples = ("database create shop-db --deployment shop", "database list", "database backup --help")

    def arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb in VERBS.values():
            own = verbs.add_parser(
                verb.name,
                help=verb.help,
                description=verb.help,
                epilog=help_text.epilog(f"database {example}" for example in verb.examples),
                formatter_class=help_text.Lines,
            )
            verb.arguments(own)
            # Behind the verb as well; there they say nothing where they are left out.
            silent = argparse.SUPPRESS
            own.add_argument("--as", dest="as_email", metavar="EMAIL", default=silent, help=help_text.AS)
            own.add_argument("--json", dest="as_json", action="store_true", default=silent, help=help_text.JSON)

    def needed_for(self, options: dict[str, Any]) -> Action:
        return VERBS[options["verb"]].action

    def perform(self, options: dict[str, Any]) -> None:
        VERBS[options["verb"]].perform(self, options)
