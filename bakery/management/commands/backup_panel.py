from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bakery.management.base import BakeryCommand
from bakery.management.passphrase import passphrase
from bakery.panel.backup import back_up
from bakery.panel.contents import About
from bakery.panel.host_settings import moving_settings
from bakery.roles import Action
from databases.models import Database


class Command(BakeryCommand):
    help = (
        "Write everything that Bakery knows to FILE, encrypted with a passphrase: restore_panel brings it back on "
        "another host. Persistent directories of applications and what is in their databases are not in it."
    )
    action = Action.ADMINISTER
    examples = ("backup_panel bakery.sealed", "backup_panel bakery.sealed --passphrase-file passphrase.txt --overwrite")
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="What is to be written.")
        parser.add_argument("--passphrase-file", metavar="PATH", help="Read the passphrase from here; no prompt.")
        parser.add_argument("--without-logs", action="store_true", help="Leave the text of all logs out.")
        parser.add_argument("--overwrite", action="store_true", help="Replace FILE when it is there.")

    def perform(self, options: dict[str, Any]) -> None:
        file: Path = options["file"].absolute()
        secret = passphrase(options["passphrase_file"], new=True)
        about = back_up(
            file, secret, with_logs=not options["without_logs"], overwrite=options["overwrite"], say=self.say
        )
        size = file.stat().st_size
        if self.as_json:
            left_out = {"settings": list(moving_settings()), "file": str(file), "bytes": size}
            self.data({**left_out, **asdict(about), "databases_left_out": _databases()})
            return
        self._tell(about, file, size)

    def _tell(self, about: About, file: Path, size: int) -> None:
        logs = "with their logs" if about.with_logs else "without the text of their logs"
        self.say(f"{file}: {size / 1_048_576:.1f} MiB, encrypted.")
        self.say(
            f"In it: {len(about.deployments)} deployments and their releases {logs}, variables, domains, "
            f"{about.people} people, the activity; the settings {', '.join(moving_settings())}."
        )
        self.say("Not in it: what was built (it is built again), this host's own addresses, ports and passwords,")
        self.say(f"  persistent directories: {'; '.join(about.persistent) or 'there are none'};")
        databases = ", ".join(_databases()) or "there are none"
        self.say(f"  and what is in databases, which have backups of their own: {databases}.")
        self.say("Without the passphrase nobody can read it. Keep both, apart from each other.")


def _databases() -> list[str]:
    return list(Database.objects.managed().order_by("name").values_list("name", flat=True))
