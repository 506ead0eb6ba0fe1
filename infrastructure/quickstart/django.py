"""What the quickstart asks of Django, through ``manage.py`` alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from infrastructure.quickstart import environment_file
from infrastructure.quickstart.layout import Layout
from infrastructure.report import Report
from infrastructure.runner import Command, Runner
from infrastructure.secret import Secret

ADMIN_EMAIL = "admin@bakery.localhost"


class Django:
    def __init__(self, place: Layout, runner: Runner, python: Path) -> None:
        self.place, self.runner, self.python = place, runner, python

    def command(self, *argv: str, stdin: Secret | None = None, timeout: float = 300) -> Command:
        env = {"BAKERY_ENV_FILE": str(self.place.environment_file)}
        return Command(
            (str(self.python), "manage.py", *argv),
            cwd=self.place.checkout,
            env=env,
            stdin=stdin,
            timeout=timeout,
            merge_stderr=False,
        )

    def manage(self, *argv: str, stdin: Secret | None = None, timeout: float = 300) -> str:
        return self.runner.run(self.command(*argv, stdin=stdin, timeout=timeout)).output

    def static_files_changed(self) -> bool:
        return self._static_stamp().read_text() != self._static_digest() if self._static_stamp().exists() else True

    def collect_static(self) -> None:
        self.manage("collectstatic", "--no-input", "-v", "0")
        self._static_stamp().write_text(self._static_digest())

    def _static_stamp(self) -> Path:
        return self.place.data / "static" / ".collected"

    def _static_digest(self) -> str:
        """Of what the files come from: our own, and the packages that bring theirs."""
        digest = hashlib.sha256((self.place.checkout / "requirements.txt").read_bytes())
        own = self.place.checkout / "templates" / "static"
        for file in sorted(path for path in own.rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(own)).encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()


def first_admin(django: Django, values: dict[str, str], report: Report) -> str | None:
    """Make the admin when there is none yet; the password is told once and kept nowhere."""
    if values.get("BAKERY_ADMIN_EMAIL"):
        return None
    with report.step("Making an admin account"):
        made = json.loads(django.manage("create_admin", ADMIN_EMAIL, "--reset", "--json"))
    values["BAKERY_ADMIN_EMAIL"] = ADMIN_EMAIL
    environment_file.write(django.place.environment_file, values)
    password: str = made["password"]
    return password
