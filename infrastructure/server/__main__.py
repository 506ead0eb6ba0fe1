"""``python -m infrastructure.server install …``: the half of install.sh that is in Python."""

from __future__ import annotations

import os
import sys

from infrastructure.errors import Problem
from infrastructure.runner import CommandFailed
from infrastructure.server.install import Installed, install
from infrastructure.server.server import Server, parse
from infrastructure.server.work import Work

LAST_LINES = 15
AGAIN = "Then start install.sh again: it goes on where it is needed, and keeps data and secrets."


def main(argv: list[str]) -> int:
    if argv[:1] != ["install"]:
        sys.stderr.write("python -m infrastructure.server install …: see infrastructure/scripts/install.sh\n")
        return 2
    os.umask(0o022)
    server = parse(argv[1:])
    work = Work(server.log)
    try:
        done = install(server, work)
    except Problem as problem:
        work.report.say(f"\n{problem.message}")
        if isinstance(problem, CommandFailed):
            for line in problem.result.output.strip().splitlines()[-LAST_LINES:]:
                work.report.say(f"  {line}")
        work.report.say("\n".join(part for part in ("", problem.hint, f"The log is {server.log}.", AGAIN) if part))
        return 1
    tell(done, server, work)
    return 0


def tell(done: Installed, server: Server, work: Work) -> None:
    report = work.report
    for note in done.notes:
        report.say(f"! {note}")
    report.say("")
    report.say(f"  Bakery    {done.values['BAKERY_BASE_URL']}")
    if done.password:
        report.say(f"  E-mail    {server.admin_email}")
        report.say_once(f"  Password  {done.password}")
        report.say("            It is shown this once: keep it. bakery create_admin EMAIL --reset makes another.")
    report.say(f"  Apps      http://NAME.{done.values.get('BAKERY_APPS_DOMAIN', 'localhost')}")
    report.say("  Commands  bakery status, bakery doctor, bakery --help")
    report.say(f"  Keep a copy of {server.env_file}: without its ENCRYPTION_KEY no secret can be read.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
