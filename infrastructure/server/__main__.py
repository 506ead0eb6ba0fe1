"""``python -m infrastructure.server``: the halves of install.sh and uninstall.sh that are in Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from infrastructure.errors import Problem
from infrastructure.nginx import system as nginx
from infrastructure.runner import CommandFailed
from infrastructure.server.install import Installed, install
from infrastructure.server.server import Server, parse
from infrastructure.server.work import Work

LAST_LINES = 15
AGAIN = "Then start install.sh again: it goes on where it is needed, and keeps data and secrets."


def main(argv: list[str]) -> int:
    os.umask(0o022)
    match argv:
        case ["install", *options]:
            return run_install(parse(options))
        case ["leave-nginx", data_dir]:
            return leave_nginx(Path(data_dir))
    sys.stderr.write("This is run by infrastructure/scripts/install.sh and uninstall.sh.\n")
    return 2


def leave_nginx(data_dir: Path) -> int:
    try:
        nginx.remove(data_dir=data_dir)
    except Problem as problem:
        sys.stderr.write(f"{problem.message} {problem.hint}\n")
        return 1
    return 0


def run_install(server: Server) -> int:
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
