"""Who may do what, asserted from the outside for every address there is: pages, API, Django's admin.

One table. An address that has no row fails the test: whoever adds one says here who may use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import User
from tests.integration.one_of_everything import Things
from tests.integration.people import ADMIN, DEPLOYER, EVERYBODY, VIEWER, bob, by_rank

# URL name -> (who may read it, who may send it something)
URLS = {
    "healthz": (EVERYBODY, EVERYBODY),
    "accounts:login": (EVERYBODY, EVERYBODY),
    "accounts:logout": (VIEWER, VIEWER),
    "accounts:password": (VIEWER, VIEWER),
    "dashboard": (VIEWER, VIEWER),
    "sidebar": (VIEWER, VIEWER),
    "alarms": (VIEWER, VIEWER),
    "deployment-alarms": (VIEWER, VIEWER),
    "activity": (VIEWER, VIEWER),
    "task": (VIEWER, VIEWER),
    "update": (ADMIN, ADMIN),
    "update-start": (ADMIN, ADMIN),
    "update-look": (ADMIN, ADMIN),
    "deployments:list": (VIEWER, VIEWER),
    "deployments:new": (DEPLOYER, DEPLOYER),
    "deployments:template": (DEPLOYER, DEPLOYER),
    "deployments:detail": (VIEWER, VIEWER),
    "deployments:releases": (VIEWER, VIEWER),
    "deployments:release": (VIEWER, VIEWER),
    "deployments:rollback": (DEPLOYER, DEPLOYER),
    "deployments:environment": (VIEWER, VIEWER),
    "deployments:env-add": (DEPLOYER, DEPLOYER),
    "deployments:env-paste": (DEPLOYER, DEPLOYER),
    "deployments:env-edit": (DEPLOYER, DEPLOYER),
    "deployments:env-reveal": (DEPLOYER, DEPLOYER),
    "deployments:env-remove": (DEPLOYER, DEPLOYER),
    "deployments:settings": (VIEWER, DEPLOYER),
    "deployments:logs": (VIEWER, VIEWER),
    "deployments:deploy": (DEPLOYER, DEPLOYER),
    "deployments:restart": (DEPLOYER, DEPLOYER),
    "deployments:stop": (DEPLOYER, DEPLOYER),
    "deployments:start": (DEPLOYER, DEPLOYER),
    "deployments:delete": (DEPLOYER, DEPLOYER),
    "deployments:cancel": (DEPLOYER, DEPLOYER),
    "domains:list": (VIEWER, VIEWER),
    "domains:of": (VIEWER, VIEWER),
    "domains:name": (VIEWER, DEPLOYER),
    "domains:add": (DEPLOYER, DEPLOYER),
    "domains:verify": (DEPLOYER, DEPLOYER),
    "domains:primary": (DEPLOYER, DEPLOYER),
    "domains:redirect": (DEPLOYER, DEPLOYER),
    "domains:remove": (DEPLOYER, DEPLOYER),
    "domains:issue": (DEPLOYER, DEPLOYER),
    "domains:renew": (DEPLOYER, DEPLOYER),
    "domains:issuing": (DEPLOYER, DEPLOYER),
    "domains:upload": (DEPLOYER, DEPLOYER),
    "domains:remove-certificate": (DEPLOYER, DEPLOYER),
    "domains:panel-of": (ADMIN, ADMIN),
    "domains:panel-name": (ADMIN, ADMIN),
    "domains:panel-add": (ADMIN, ADMIN),
    "domains:panel-verify": (ADMIN, ADMIN),
    "domains:panel-primary": (ADMIN, ADMIN),
    "domains:panel-redirect": (ADMIN, ADMIN),
    "domains:panel-remove": (ADMIN, ADMIN),
    "domains:panel-issue": (ADMIN, ADMIN),
    "domains:panel-renew": (ADMIN, ADMIN),
    "domains:panel-issuing": (ADMIN, ADMIN),
    "domains:panel-upload": (ADMIN, ADMIN),
    "domains:panel-remove-certificate": (ADMIN, ADMIN),
    "domains:providers": (ADMIN, ADMIN),
    "domains:provider-add": (ADMIN, ADMIN),
    "domains:provider": (ADMIN, ADMIN),
    "domains:provider-remove": (ADMIN, ADMIN),
    "database-alarms": (VIEWER, VIEWER),
    "databases:list": (VIEWER, VIEWER),
    "databases:new": (DEPLOYER, DEPLOYER),
    "databases:register": (DEPLOYER, DEPLOYER),
    "databases:detail": (VIEWER, VIEWER),
    "databases:reveal": (DEPLOYER, DEPLOYER),
    "databases:rotate": (DEPLOYER, DEPLOYER),
    "databases:reader": (DEPLOYER, DEPLOYER),
    "databases:reader-drop": (DEPLOYER, DEPLOYER),
    "databases:drop": (DEPLOYER, DEPLOYER),
    "databases:retry": (DEPLOYER, DEPLOYER),
    "databases:check": (DEPLOYER, DEPLOYER),
    "databases:attach": (DEPLOYER, DEPLOYER),
    "databases:detach": (DEPLOYER, DEPLOYER),
    "databases:settings": (VIEWER, DEPLOYER),
    "databases:of-attach": (DEPLOYER, DEPLOYER),
    "databases:plan": (DEPLOYER, DEPLOYER),
    "databases:backups": (VIEWER, VIEWER),
    "databases:back-up": (DEPLOYER, DEPLOYER),
    "databases:upload": (DEPLOYER, DEPLOYER),
    "databases:clone": (DEPLOYER, DEPLOYER),
    "databases:restore-confirm": (DEPLOYER, DEPLOYER),
    "databases:restore-undo": (DEPLOYER, DEPLOYER),
    "databases:backup": (VIEWER, VIEWER),
    "databases:backup-pin": (DEPLOYER, DEPLOYER),
    "databases:backup-delete": (DEPLOYER, DEPLOYER),
    "databases:backup-test": (DEPLOYER, DEPLOYER),
    "databases:backup-fetch": (DEPLOYER, DEPLOYER),
    "databases:backup-restore": (DEPLOYER, DEPLOYER),
    "databases:storages": (ADMIN, ADMIN),
    "databases:storage-add": (ADMIN, ADMIN),
    "databases:storage": (ADMIN, ADMIN),
    "databases:storage-check": (ADMIN, ADMIN),
    "databases:storage-remove": (ADMIN, ADMIN),
    "databases:of": (VIEWER, VIEWER),
    "logs:viewer": (VIEWER, VIEWER),
    "logs:lines": (VIEWER, VIEWER),
    "logs:search": (VIEWER, VIEWER),
    "logs:raw": (VIEWER, VIEWER),
    "api-index": (VIEWER, VIEWER),
    "api-session": (VIEWER, VIEWER),
    "api-deployments": (VIEWER, DEPLOYER),
    "api-deployment": (VIEWER, DEPLOYER),
    "api-status": (VIEWER, VIEWER),
    "api-releases": (VIEWER, VIEWER),
    "api-deployment-tasks": (VIEWER, VIEWER),
    "api-env": (DEPLOYER, DEPLOYER),
    "api-deploy": (DEPLOYER, DEPLOYER),
    "api-rollback": (DEPLOYER, DEPLOYER),
    "api-restart": (DEPLOYER, DEPLOYER),
    "api-stop": (DEPLOYER, DEPLOYER),
    "api-start": (DEPLOYER, DEPLOYER),
    "api-delete": (DEPLOYER, DEPLOYER),
    "api-tasks": (VIEWER, VIEWER),
    "api-task": (VIEWER, VIEWER),
    "api-cancel": (DEPLOYER, DEPLOYER),
    "api-alarms": (VIEWER, VIEWER),
    "api-domains": (VIEWER, VIEWER),
    "api-deployment-domains": (VIEWER, DEPLOYER),
    "api-domain": (VIEWER, DEPLOYER),
    "api-domain-verify": (DEPLOYER, DEPLOYER),
    "api-certificate": (VIEWER, DEPLOYER),
    "api-certificate-issue": (DEPLOYER, DEPLOYER),
    "api-certificate-renew": (DEPLOYER, DEPLOYER),
    "api-certificate-upload": (DEPLOYER, DEPLOYER),
    "api-panel-domains": (ADMIN, ADMIN),
    "api-panel-domain": (ADMIN, ADMIN),
    "api-panel-domain-verify": (ADMIN, ADMIN),
    "api-panel-certificate": (ADMIN, ADMIN),
    "api-panel-certificate-issue": (ADMIN, ADMIN),
    "api-panel-certificate-renew": (ADMIN, ADMIN),
    "api-panel-certificate-upload": (ADMIN, ADMIN),
    "api-dns-providers": (ADMIN, ADMIN),
    "api-dns-provider": (ADMIN, ADMIN),
    "api-databases": (VIEWER, DEPLOYER),
    "api-database": (VIEWER, DEPLOYER),
    "api-database-reveal": (DEPLOYER, DEPLOYER),
    "api-database-reader": (DEPLOYER, DEPLOYER),
    "api-database-rotate": (DEPLOYER, DEPLOYER),
    "api-database-check": (DEPLOYER, DEPLOYER),
    "api-database-attachments": (DEPLOYER, DEPLOYER),
    "api-uploads": (DEPLOYER, DEPLOYER),
    "api-upload": (DEPLOYER, DEPLOYER),
    "api-database-restore": (DEPLOYER, DEPLOYER),
    "api-database-restore-confirm": (DEPLOYER, DEPLOYER),
    "api-database-restore-undo": (DEPLOYER, DEPLOYER),
    "api-database-clone": (DEPLOYER, DEPLOYER),
    "api-database-backup-file": (DEPLOYER, DEPLOYER),
    "api-database-backups": (VIEWER, DEPLOYER),
    "api-database-backup": (VIEWER, DEPLOYER),
    "api-database-backup-test": (DEPLOYER, DEPLOYER),
    "api-database-backup-fetch": (DEPLOYER, DEPLOYER),
    "api-database-plan": (VIEWER, DEPLOYER),
    "api-storages": (ADMIN, ADMIN),
    "api-storage": (ADMIN, ADMIN),
    "api-storage-check": (ADMIN, ADMIN),
    "api-update": (ADMIN, ADMIN),
    "api-update-look": (ADMIN, ADMIN),
    "api-unknown": (VIEWER, VIEWER),
    "admin-login": (EVERYBODY, EVERYBODY),  # leads to our own sign-in
    "admin:": (ADMIN, ADMIN),  # all of Django's admin
}


@dataclass
class Entry:
    name: str
    path: str
    row: str  # the key of URLS that speaks for it


def entries(things: Things) -> Iterator[Entry]:
    def walk(patterns: list[Any], prefix: str, namespace: str) -> Iterator[Entry]:
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                below = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
                yield from walk(pattern.url_patterns, route, below)
            elif isinstance(pattern, URLPattern):
                name = f"{namespace}{pattern.name or ''}"
                row = "admin:" if namespace.startswith("admin:") else name
                yield Entry(name, things.path(route, name), row)

    yield from walk(get_resolver().url_patterns, "", "")


def let_in(person: User | None, response: HttpResponse) -> bool:
    """Whether somebody got past the door; what is asserted beside is how they were turned away."""
    if person is None:
        away = response.status_code == 401 or (
            response.status_code == 302 and response["Location"].startswith("/auth/login?next=")
        )
        assert away or response.status_code != 403, "somebody who is not signed in is asked to sign in"
        return not away
    return response.status_code != 403


class Visitor:
    """One person's browser. Every request begins with the same cookies, and its effects are taken back."""

    def __init__(self, person: User | None) -> None:
        self.client = Client()  # one for all requests: each new one loads the middleware anew
        if person:
            self.client.force_login(person)
        self.person, self.cookies = person, self.client.cookies.output(header="", sep=";")

    def ask(self, method: str, path: str) -> HttpResponse:
        self.client.cookies.clear()
        self.client.cookies.load(self.cookies)
        with transaction.atomic():
            response = self.client.generic(method, path)
            transaction.set_rollback(True)
        return response


@pytest.mark.django_db
def test_every_url_lets_in_exactly_whom_the_table_says() -> None:
    things, wrong, seen = Things.make(), [], set()
    cast = [Visitor(person) for person in by_rank()]
    for entry in entries(things):
        assert entry.row in URLS, f"{entry.name} ({entry.path}) has no row: say who may use it"
        seen.add(entry.row)
        if entry.name in ("admin-login", "admin:login"):
            continue  # it leads everybody to our sign-in, which looks as if they were turned away: see below
        for method, lowest in zip(("GET", "POST"), URLS[entry.row], strict=True):
            # What nobody may change by hand is refused by the admin itself, to admins too.
            for rank, visitor in enumerate(cast[:ADMIN] if entry.row == "admin:" else cast):
                response = visitor.ask(method, entry.path)
                if let_in(visitor.person, response) == (rank >= lowest):
                    continue
                who = visitor.person or "nobody"
                wrong.append(f"{method} {entry.path} ({entry.name}) as {who}: {response.status_code}")
    assert wrong == []
    assert seen == set(URLS), "the table has rows for addresses that are gone"


@pytest.mark.django_db
def test_the_admins_own_sign_in_leads_to_ours() -> None:
    for person in by_rank():
        response = Visitor(person).ask("GET", "/admin/login/?next=/admin/bakery/task/")
        assert (response.status_code, response["Location"]) == (302, "/auth/login?next=%2Fadmin%2Fbakery%2Ftask%2F")


@pytest.mark.django_db
def test_a_view_that_declares_nothing_is_refused_to_admins_too(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.integration.undeclared_urls"
    for person in by_rank()[1:]:
        assert Visitor(person).ask("GET", "/undeclared").status_code == 403


@pytest.mark.django_db
def test_somebody_who_was_deactivated_is_nobody() -> None:
    client, person = Client(), bob()
    client.force_login(person)
    assert client.get("/").status_code == 200
    User.objects.filter(pk=person.pk).update(is_active=False)
    assert client.get("/").status_code == 302
