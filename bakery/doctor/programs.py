"""The host's programs: where they are and which version answers."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bakery.doctor.finding import Finding, ok, wrong
from bakery.environment import Environment
from infrastructure.errors import Problem
from infrastructure.runner import SAFE_PATH, Command, Runner

VERSION = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True)
class Need:
    """A program, how it tells its version, and why it is wanted."""

    name: str
    program: str
    version_argument: str
    purpose: str
    mend: str
    libraries: str = ""  # LD_LIBRARY_PATH


def needs(bakery: Environment) -> list[Need]:
    wanted = [
        Need("git", "git", "--version", "fetches repositories", "apt-get install git"),
        Need(
            "Nginx",
            bakery.nginx_binary,
            "-v",
            "serves the deployments",
            "apt-get install nginx",
            bakery.nginx_libraries,
        ),
        Need(
            "Bun", bakery.bun_binary, "--version", "builds and runs releases", "npm install -g bun, then set BAKERY_BUN"
        ),
        Need("setpriv", "setpriv", "--version", "starts programs under other accounts", "apt-get install util-linux"),
    ]
    if bakery.processes == "systemd":
        wanted.append(
            Need("systemd", "systemctl", "--version", "runs releases as units", "Set BAKERY_PROCESSES=supervisord")
        )
    return wanted


def located(program: str) -> Path | None:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SAFE_PATH}")
    return Path(found) if found else None


def program_findings(bakery: Environment, runner: Runner) -> list[Finding]:
    return [_look_at(need, runner) for need in needs(bakery)]


def _look_at(need: Need, runner: Runner) -> Finding:
    path = located(need.program)
    if path is None:
        return wrong(need.name, f"{need.program} is not on this host; it {need.purpose}.", need.mend)
    env = {"LD_LIBRARY_PATH": need.libraries} if need.libraries else {}
    try:
        output = runner.run(Command((str(path), need.version_argument), env=env, timeout=15)).output
    except (Problem, OSError) as error:
        return wrong(need.name, f"{path} does not start: {error}", need.mend)
    found = VERSION.search(output) or re.search(r"\d+", output)
    if need.name == "Bun" and os.geteuid() == 0 and not _everyone_may_run(path):
        return wrong(
            "Bun",
            f"{path} cannot be reached by deployments' own accounts.",
            "Install it where everyone can read it, such as /opt, and set BAKERY_BUN.",
            found[0] if found else "",
        )
    return ok(need.name, str(path), found[0] if found else "")


def _everyone_may_run(path: Path) -> bool:
    real = path.resolve()
    return all(part.stat().st_mode & 0o001 for part in (real, *real.parents))
