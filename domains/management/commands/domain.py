from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from bakery.management.base import BakeryCommand, Usage
from bakery.management.parsing import assignments
from bakery.management.tables import ago, table
from bakery.roles import Action
from deployments.management.base import find_deployment
from deployments.management.text_input import ask_secret
from deployments.models import Deployment
from domains.management.name_options import settings_from
from domains.models import Domain, Verdict
from domains.services import names, verification
from domains.services.instructions import Instructions, instructions_for
from domains.shapes import domain_detail, domain_shape
from infrastructure.errors import Problem
from infrastructure.hostnames import DomainName, display

MARKS = {"error": "✗", "warning": "!", "info": "·"}


class Command(BakeryCommand):
    help = (
        "Host names: add NAME DOMAIN, remove DOMAIN, primary DOMAIN, verify DOMAIN, records DOMAIN (the DNS records to "
        "make), set DOMAIN FIELD=VALUE …, list [NAME]. NAME is a deployment; add --panel DOMAIN is for Bakery's own "
        "pages, add --free NAME gives a name that leads to this server's address without being registered."
    )
    action = Action.CONFIGURE
    examples = (
        "domain add shop shop.example.com --primary",
        "domain add --panel panel.example.com",
        "domain verify shop.example.com",
        "domain set shop.example.com hsts_seconds=31536000 header.X-Frame-Options=DENY",
        "domain list shop",
    )
    prints_data = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]  # “add --panel DOMAIN”
        return parser

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "verb", choices=("add", "remove", "primary", "verify", "records", "set", "list"), help="What to do."
        )
        parser.add_argument("items", nargs="*", metavar="NAME | DOMAIN | FIELD=VALUE", help="What the verb is about.")
        parser.add_argument("--panel", action="store_true", help="add, list: Bakery's own pages, not a deployment.")
        parser.add_argument("--free", action="store_true", help="add: a name under sslip.io, for trying.")
        parser.add_argument(
            "--redirect",
            action=BooleanOptionalAction,
            default=None,
            help="add, set: send visitors to the primary name.",
        )
        parser.add_argument("--primary", action="store_true", help="add: make it the primary name.")
        parser.add_argument(
            "--ask-password", action="store_true", help="set: ask for auth_password, or read it from standard input."
        )

    def needed_for(self, options: dict[str, Any]) -> Action:
        return Action.VIEW if options["verb"] == "list" else self.action

    def perform(self, options: dict[str, Any]) -> None:
        verb, items = options["verb"], list(options["items"])
        if verb == "list":
            self._list(items, panel=options["panel"])
        elif verb == "add":
            self._add(items, options)
        else:
            if not items or (len(items) > 1 and verb != "set"):
                raise Usage(f"{verb} takes one DOMAIN.")
            domain = self._domain(items.pop(0))
            verbs: dict[str, Callable[[], None]] = {
                "remove": lambda: self._remove(domain),
                "primary": lambda: self._say(names.make_primary(domain, by=self.by), "is the primary name."),
                "verify": lambda: self._verify(domain),
                "records": lambda: self._records(domain),
                "set": lambda: self._set(domain, items, options),
            }
            verbs[verb]()

    def _add(self, items: list[str], options: dict[str, Any]) -> None:
        deployment = None if options["panel"] else self._deployment(items)
        if options["free"] and deployment:
            items.append(names.free_name(deployment))
            if not items[-1]:
                hint = "Set BAKERY_PUBLIC_IP; where Bakery's own names are public, each deployment has one already."
                raise Problem("domain.no-free-name", "There is no free name to give.", hint)
        if len(items) != 1:
            raise Usage("add takes NAME DOMAIN, --panel DOMAIN, or --free NAME.")
        if deployment is None:
            self._refuse_all_but_admins()
        domain = names.add_domain(deployment, items[0], by=self.by, redirects=bool(options["redirect"]))
        if options["primary"]:
            domain = names.make_primary(domain, by=self.by)
        self._say(domain, "was added. Bakery looks at its DNS by itself.")
        if not self.as_json:
            self._print(instructions_for(domain))

    def _remove(self, domain: Domain) -> None:
        shape = domain_shape(domain)
        names.remove_domain(domain, by=self.by)
        self.data(shape) if self.as_json else self.say(
            f"{shape['display']} was removed. Its DNS record is yours to remove."
        )

    def _verify(self, domain: Domain) -> None:
        seen = verification.verify(domain)
        if self.as_json:
            self.data(domain_detail(seen))
        else:
            self.stdout.write(f"{display(seen.hostname)}: {seen.get_verdict_display()}")
            for record in seen.report.get("records", []):
                self.stdout.write(
                    f"  {record['by']}: {record['name']} {record['type']} {record['value']} {record['ttl']}"
                )
            for finding in seen.report.get("findings", []):
                self.stdout.write(f"{MARKS[finding['severity']]} {finding['message']}\n  {finding['hint']}".rstrip())
            if seen.verdict != Verdict.RIGHT:
                self._print(instructions_for(seen))

    def _records(self, domain: Domain) -> None:
        if self.as_json:
            self.data(domain_detail(domain)["instructions"])
        else:
            self._print(instructions_for(domain))

    def _print(self, told: Instructions) -> None:
        if told.problem:
            self.stdout.write(told.problem)
            return
        rows = [(one.type, one.host, one.value, one.ttl) for one in (*told.records, *told.alternative)]
        self.stdout.write(f"\nRecords in {told.zone}{', or the CNAME alone' if told.alternative else ''}:")
        self.stdout.write(table(("TYPE", "HOST", "VALUE", "TTL"), rows))
        for change in told.changes:
            values = " → ".join(value for value in (change["value"], change["to"]) if value)
            self.stdout.write(f"{change['action'].capitalize()}: {change['type']} {change['host']} {values}")

    def _set(self, domain: Domain, items: list[str], options: dict[str, Any]) -> None:
        wanted = settings_from(assignments(items, what="FIELD=VALUE"))
        if options["redirect"] is not None:
            wanted["redirects"] = options["redirect"]
        if options["ask_password"]:
            wanted["auth_password"] = ask_secret("Password")
        if not wanted:
            raise Usage("Say what to set: FIELD=VALUE.")
        changed = names.change_domain(domain, by=self.by, **wanted)
        self.data(domain_detail(changed)) if self.as_json else self._say(changed, "was changed.")

    def _list(self, items: list[str], *, panel: bool) -> None:
        found = Domain.objects.for_list()
        if items or panel:
            found = found.filter(deployment=None if panel else self._deployment(items))
        if self.as_json:
            self.data([domain_shape(domain) for domain in found])
        elif not found:
            self.stdout.write("There are no domains.")
        else:
            self.stdout.write(table(("DOMAIN", "OF", "DNS", "LOOKED AT", ""), [_row(domain) for domain in found]))

    def _say(self, domain: Domain, what: str) -> None:
        self.data(domain_shape(domain)) if self.as_json else self.say(f"{display(domain.hostname)} {what}")

    def _deployment(self, items: list[str]) -> Deployment:
        if not items:
            raise Usage("Name the deployment, or say --panel.")
        return find_deployment(items.pop(0))

    def _domain(self, text: str) -> Domain:
        """As it is stored, or as people type it."""
        found = Domain.objects.for_list().filter(hostname=text.lower()).first()
        found = found or Domain.objects.for_list().filter(hostname=DomainName(text)).first()
        if found is None:
            raise Problem("domain.unknown", f"Nobody has the domain {text}.", "See manage.py domain list.")
        if found.deployment is None:
            self._refuse_all_but_admins()
        return found

    def _refuse_all_but_admins(self) -> None:
        if self.by is not None and not self.by.may(Action.ADMINISTER):
            raise Problem("permission.refused", f"{self.by.email} may not change Bakery's own names.", "Ask an admin.")


def _row(domain: Domain) -> tuple[str, ...]:
    seconds = (timezone.now() - domain.checked_at).total_seconds() if domain.checked_at else None
    what = "primary" if domain.primary else "redirects" if domain.redirects else ""
    return (
        display(domain.hostname),
        domain.deployment.name if domain.deployment else "Bakery",
        "made by Bakery" if domain.generated else str(domain.get_verdict_display()),
        ago(seconds),
        what,
    )
