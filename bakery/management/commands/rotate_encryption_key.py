from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from bakery.key_rotation import encrypted_fields, rotate
from bakery.management.base import BakeryCommand
from bakery.roles import Action
from infrastructure.errors import Blame, Problem


class Command(BakeryCommand):
    help = (
        "Encrypt every stored secret anew with the first key of ENCRYPTION_KEY. Put the new key before the old one, "
        "with a comma between them; restart Bakery; run this; then take the old key out. "
        "It may be interrupted and run again."
    )
    action = Action.ADMINISTER
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Count only.")

    def perform(self, options: dict[str, Any]) -> None:
        dry = options["dry_run"]
        unreadable: list[str] = []
        counts: list[dict[str, object]] = []
        for model, field in encrypted_fields():
            name = f"{model._meta.label}.{field.name}"
            count = rotate(model, field, dry_run=dry, progress=self._progress(name))
            unreadable += [f"{name} {key}" for key in count.unreadable]
            counts.append({"field": name, **vars(count)})
            self.say(
                f"{name}: {count.rotated} {'to do' if dry else 'done'}, {count.already} had the first key, "
                f"{len(count.unreadable)} unreadable"
            )
        if self.as_json:
            self.data(counts)
        if unreadable:
            raise Problem(
                "secret.undecryptable",
                f"{len(unreadable)} stored secrets are encrypted with a key that ENCRYPTION_KEY does not have: "
                f"{', '.join(unreadable[:10])}.",
                "Put that key back into ENCRYPTION_KEY and run this again, or enter those values anew.",
                blame=Blame.HOST,
            )
        if not dry:
            self.say("All secrets are encrypted with the first key. The other keys can be taken out of ENCRYPTION_KEY.")

    def _progress(self, name: str) -> Any:
        return lambda done: self.say(f"  {name}: {done}")
