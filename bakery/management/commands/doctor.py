from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from bakery.doctor.certificates import certificate_findings
from bakery.doctor.databases import database_findings
from bakery.doctor.finding import Finding, Verdict
from bakery.doctor.jobs import job_findings
from bakery.doctor.places import place_findings
from bakery.doctor.programs import program_findings
from bakery.doctor.services import service_findings
from bakery.doctor.web_server import web_server_findings
from bakery.management.base import BakeryCommand
from bakery.management.tables import table
from bakery.roles import Action
from infrastructure.runner import Runner

MARKS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.WRONG: "✗"}


class Command(BakeryCommand):
    help = (
        "Look at everything that Bakery depends on: its version, what is wrong and how to mend it. Exit code 1 where "
        "something is wrong."
    )
    action = Action.ADMINISTER
    examples = ("doctor", "doctor --jobs")
    prints_data = True

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--jobs", action="store_true", help="Send each queue a job, too, and wait for its worker.")

    def perform(self, options: dict[str, Any]) -> None:
        services = service_findings()
        docker = any(one.subject == "Docker" and one.verdict is Verdict.OK for one in services)
        findings = [
            *place_findings(settings.BAKERY),
            *program_findings(settings.BAKERY, Runner()),
            *web_server_findings(settings.BAKERY, Runner()),
            *services,
            *database_findings(settings.BAKERY, docker=docker),
            *certificate_findings(settings.BAKERY, Runner()),
        ]
        findings += job_findings() if options["jobs"] else []
        wrong = [finding for finding in findings if finding.verdict is Verdict.WRONG]
        if self.as_json:
            self.data({"ok": not wrong, "findings": [finding.as_dict() for finding in findings]})
        else:
            self._print(findings)
        if wrong:
            raise CommandError(f"{len(wrong)} to mend." if len(wrong) > 1 else "1 to mend.", returncode=1)
        if not self.as_json:
            self.stdout.write("Nothing is wrong.")

    def _print(self, findings: list[Finding]) -> None:
        rows = [(MARKS[f.verdict], f.subject, f.version or "–", f.detail) for f in findings]
        self.stdout.write(table(("", "WHAT", "VERSION", "STATE"), rows))
        for finding in findings:
            if finding.mend:
                self.stdout.write(f"\n{MARKS[finding.verdict]} {finding.subject}: {finding.detail}\n  → {finding.mend}")
        self.stdout.write("")
