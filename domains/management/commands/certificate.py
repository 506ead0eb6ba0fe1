from __future__ import annotations

import sys
from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.utils import timezone

from bakery.management.base import BakeryCommand, Usage
from bakery.management.help import wait_argument
from bakery.management.tables import table
from bakery.models import Task
from bakery.roles import Action
from deployments.management.base import find_deployment
from deployments.management.following import TaskFollower, for_terminal
from deployments.models import Deployment
from deployments.shapes import task_shape
from domains.certificate_shapes import certificate_shape
from domains.models import Certificate, Challenge, DnsProvider
from domains.services import issuance
from domains.services.eligibility import domains_of
from infrastructure.errors import Problem, Refused
from infrastructure.hostnames import display

VERBS = ("issue", "renew", "list", "upload", "remove", "check", "set", "provider")


class Command(BakeryCommand):
    help = (
        "TLS certificates: issue NAME, renew NAME, upload NAME CHAIN KEY (PEM files), remove NAME, list [NAME], "
        "check NAME (what is served, and whether it is revoked; a look that is taken daily anyway), "
        "set NAME (how it is issued), provider NAME PLUGIN FILE (credentials with which Certbot makes DNS records). "
        "NAME is a deployment; --panel instead means Bakery's own pages."
    )
    action = Action.CONFIGURE
    examples = (
        "certificate issue shop",
        "certificate upload shop chain.pem key.pem",
        "certificate provider our-zone cloudflare credentials.ini",
        "certificate set shop --challenge dns-01 --dns-provider our-zone",
        "certificate list",
    )
    prints_data = True
    _followed: Task | None = None

    def arguments(self, parser: ArgumentParser) -> None:
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]  # “upload --panel CHAIN KEY”
        parser.add_argument("verb", choices=VERBS, help="What to do.")
        parser.add_argument("items", nargs="*", metavar="NAME | FILE", help="What the verb is about.")
        parser.add_argument("--panel", action="store_true", help="Bakery's own pages instead of a deployment.")
        parser.add_argument("--override-dns", action="store_true", help="issue: though DNS does not look right.")
        parser.add_argument(
            "--force",
            action="store_true",
            help="issue, renew: in spite of the pause after a failure (admins); renew: though it is good for long.",
        )
        parser.add_argument("--challenge", choices=Challenge.values, help="set: how names are proven.")
        parser.add_argument("--dns-provider", metavar="NAME", help="set: whose credentials make the DNS record.")
        parser.add_argument(
            "--automatic", action=BooleanOptionalAction, default=None, help="set: issue and renew it by itself."
        )
        parser.add_argument(
            "--propagation-seconds", type=int, metavar="N", help="provider: how long a record takes to be seen."
        )
        parser.add_argument("--passphrase-file", metavar="FILE", help="upload: of the key; “-” is standard input.")
        wait_argument(parser)

    def needed_for(self, options: dict[str, Any]) -> Action:
        return Action.VIEW if options["verb"] == "list" else self.action

    def perform(self, options: dict[str, Any]) -> None:
        verb, items = options["verb"], list(options["items"])
        if verb == "list":
            self._list(items, panel=options["panel"])
        elif verb == "provider":
            self._provider(items, options["propagation_seconds"])
        else:
            deployment = self._owner(items, panel=options["panel"])
            if verb == "set":
                self._set(deployment, options)
            elif verb == "check":
                self._check(_existing(deployment))
            else:
                self._follow(self._ask(verb, deployment, items, options), wait=options["wait"])

    def _ask(self, verb: str, deployment: Deployment | None, files: list[str], options: dict[str, Any]) -> Task:
        if len(files) != (2 if verb == "upload" else 0):
            raise Usage("upload takes NAME CHAIN KEY." if verb == "upload" else f"{verb} takes one NAME.")
        if verb == "issue":
            return issuance.request_certificate(
                deployment, by=self.by, override_dns=options["override_dns"], force=options["force"]
            )
        if verb == "upload":
            passphrase = _read(options["passphrase_file"]).decode().strip() if options["passphrase_file"] else None
            return issuance.upload_certificate(
                deployment, _read(files[0]), _read(files[1]), by=self.by, passphrase=passphrase
            )
        certificate = _existing(deployment)
        if verb == "renew":
            return issuance.renew(certificate, by=self.by, force=options["force"])
        return issuance.remove_certificate(certificate, by=self.by)

    def _owner(self, items: list[str], *, panel: bool) -> Deployment | None:
        """The deployment named first; None is the panel, which only admins may change."""
        if not panel:
            if not items:
                raise Usage("Name the deployment, or say --panel.")
            return find_deployment(items.pop(0))
        self._refuse_all_but_admins()
        return None

    def _refuse_all_but_admins(self) -> None:
        if self.by is not None and not self.by.may(Action.ADMINISTER):
            raise Problem("permission.refused", f"{self.by.email} may not do this.", "Ask an admin.")

    def _follow(self, task: Task, *, wait: bool) -> None:
        if not wait:
            self.data(task_shape(task)) if self.as_json else self.say(f"Queued as task {task.pk}.")
            return
        self._followed = task
        ended = TaskFollower(task, say=self.say, log=self._log).to_the_end()
        if self.as_json:
            self.data(task_shape(ended))
        else:
            self.say("Done.")

    def interrupted(self) -> str:
        if self._followed is None:
            return super().interrupted()
        return f"no longer watching. Task {self._followed.pk} goes on."

    def _log(self, text: str) -> None:
        out = self.stderr if self.as_json else self.stdout
        out.write(for_terminal(out, text), str, ending="")
        out.flush()

    def _list(self, names: list[str], *, panel: bool) -> None:
        found = Certificate.objects.for_list()
        if names or panel:
            found = found.filter(deployment=None if panel else find_deployment(names[0]))
        if self.as_json:
            self.data([certificate_shape(one) for one in found])
        elif not found:
            self.stdout.write("There are no certificates.")
        else:
            headings = ("OF", "NAMES", "EXPIRES", "ISSUED BY", "STATE")
            self.stdout.write(table(headings, [_row(one) for one in found]))

    def _check(self, certificate: Certificate) -> None:
        from domains.services.watching import watch

        watch(certificate)
        certificate.refresh_from_db()
        found = {domain.hostname: domain.served_problem for domain in domains_of(certificate.deployment)}
        if self.as_json:
            self.data({**certificate_shape(certificate), "served_problems": found})
            return
        for name, problem in found.items():
            self.stdout.write(f"{display(name)}: {problem or 'served as it should be'}")

    def _set(self, deployment: Deployment | None, options: dict[str, Any]) -> None:
        certificate = issuance.certificate_of(deployment)
        provider = certificate.dns_provider
        if options["dns_provider"]:
            provider = DnsProvider.objects.filter(name=options["dns_provider"]).first()
            if provider is None:
                raise Problem(
                    "dns-provider.unknown",
                    f"There is no DNS provider called {options['dns_provider']}.",
                    "Make it with manage.py certificate provider NAME PLUGIN FILE.",
                )
        automatic = certificate.automatic if options["automatic"] is None else options["automatic"]
        challenge = options["challenge"] or certificate.challenge
        issuance.set_issuing(certificate, automatic=automatic, challenge=challenge, dns_provider=provider)
        self.data(certificate_shape(certificate)) if self.as_json else self.say("Set.")

    def _provider(self, items: list[str], seconds: int | None) -> None:
        self._refuse_all_but_admins()
        if len(items) != 3:
            raise Usage("provider takes NAME PLUGIN FILE; “-” as the file is standard input.")
        name, plugin, file = items
        text = _read(file).decode("utf-8", "replace")
        provider = issuance.save_dns_provider(name, plugin, text, propagation_seconds=seconds)
        shape = {"id": provider.pk, "name": provider.name, "plugin": provider.plugin}
        self.data(shape) if self.as_json else self.say(f"{provider.name} is saved.")


def _existing(deployment: Deployment | None) -> Certificate:
    found = Certificate.objects.for_list().filter(deployment=deployment).first()
    if found is None:
        raise Refused(
            "certificate.none", "It has no certificate.", "Have one issued: manage.py certificate issue NAME."
        )
    return found


def _row(one: Certificate) -> tuple[str, str, str, str, str]:
    names = ", ".join(display(name) for name in one.names) or "–"
    if not one.is_installed:
        state = f"failed: {one.error_message}" if one.error_id else "not issued yet"
    elif one.revoked_at:
        state = "revoked"
    elif one.not_after and one.not_after <= timezone.now():
        state = "expired"
    else:
        state = f"renewal failed: {one.error_message}" if one.error_id else one.source
    return (one.subject, names, f"{one.not_after:%Y-%m-%d}" if one.not_after else "–", one.issuer or "–", state)


def _read(path: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Problem("file.unreadable", f"{path} cannot be read: {error.strerror}.") from error
