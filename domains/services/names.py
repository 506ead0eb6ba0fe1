"""The names of a deployment, or of Bakery's own pages: add, remove, which one is primary, what is set for each.

What changes here is asked of the web server at once; a name is saved whatever its DNS says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings as django_settings
from django.db import IntegrityError, transaction

from accounts.models import User
from bakery.alarms import end_alarm
from bakery.events import announce
from deployments.models import Deployment
from deployments.services import requests
from domains.models import Domain
from domains.services import ownership
from domains.services.name_settings import parsed_settings
from domains.services.panel import request_panel
from domains.services.verification import is_local, request_verification
from infrastructure.errors import Refused
from infrastructure.hostnames import DomainName, display

MOST_NAMES = 100  # of one deployment: as many as one certificate of Let's Encrypt's has


def add_domain(deployment: Deployment | None, text: str, *, by: User | None, redirects: bool = False) -> Domain:
    """Give the deployment (None: Bakery's own pages) the name that somebody typed. Raises ``Refused``."""
    name = DomainName(text)
    with transaction.atomic():
        siblings = _locked_names(deployment)
        if deployment is None:
            ownership.refuse_applications(name)
        else:
            ownership.refuse_bakerys(name)
        ownership.refuse_taken(name, of=deployment)
        if len(siblings) >= MOST_NAMES:
            raise Refused(
                "domain.too-many",
                f"It has {len(siblings)} names already, and one certificate holds at most {MOST_NAMES}.",
                "Use a wildcard, or remove a name.",
            )
        primary = next((domain for domain in siblings if domain.primary), None)
        if redirects:
            if deployment is None:
                _refuse_for_the_panel({"redirects": True})
            _refuse_redirect(name, primary)
        domain = Domain(
            deployment=deployment,
            hostname=name,
            redirects=redirects,
            primary=primary is None and not name.is_wildcard and not redirects,
        )
        try:
            with transaction.atomic():
                domain.save()
        except IntegrityError:  # somebody else was first, just now
            ownership.refuse_taken(name, of=deployment)
            raise Refused("domain.changed", "Somebody else changed the names at this moment.", "Try again.") from None
        _changed(deployment, by)
        request_verification(domain)
    announce("domain", domain.pk)
    return domain


def remove_domain(domain: Domain, *, by: User | None) -> None:
    """Take the name away. Where it was the primary one, the generated name or the oldest other one takes its place."""
    if domain.generated:
        raise Refused(
            "domain.generated",
            f"{display(domain.hostname)} is the name that Bakery gave this deployment; it stays.",
            "Make another name primary and let this one redirect to it.",
        )
    with transaction.atomic():
        siblings = _locked_names(domain.deployment)
        gone = next((sibling for sibling in siblings if sibling.pk == domain.pk), None)
        if gone is None:  # somebody else was first
            return
        left = [sibling for sibling in siblings if sibling.pk != gone.pk]
        gone.delete()
        if gone.primary:
            _fall_back(left)
        end_alarm(f"domain.wrong:{domain.pk}")
        _changed(domain.deployment, by)
    announce("domain", domain.pk)


def make_primary(domain: Domain, *, by: User | None) -> Domain:
    """From now on the names that redirect lead to this one."""
    if domain.is_wildcard:
        raise Refused(
            "domain.wildcard", "A wildcard cannot be primary: there is no one name to lead to.", "Add that name first."
        )
    with transaction.atomic():
        siblings = _locked_names(domain.deployment)
        _let_go_of_primary(siblings)
        if not Domain.objects.filter(pk=domain.pk).update(primary=True, redirects=False):
            raise _gone(domain)
        _changed(domain.deployment, by)
    domain.refresh_from_db()
    announce("domain", domain.pk)
    return domain


def change_domain(domain: Domain, *, by: User | None, **settings: Any) -> Domain:
    """Change what is set for the name: ``redirects``, and what ``name_settings`` lists. Raises ``ValidationError`` by
    field and then changes nothing."""
    with transaction.atomic():
        siblings = _locked_names(domain.deployment)
        fresh = next((sibling for sibling in siblings if sibling.pk == domain.pk), None)
        if fresh is None:
            raise _gone(domain)
        changes = parsed_settings(fresh, settings)
        if fresh.deployment_id is None:
            _refuse_for_the_panel(changes)
        if changes.get("redirects"):
            _refuse_redirect(DomainName(fresh.hostname) if not fresh.generated else None, _primary_of(siblings, fresh))
        for field, value in changes.items():
            setattr(fresh, field, value)
        fresh.full_clean()
        fresh.save(update_fields=list(changes))
        if changes:
            _changed(fresh.deployment, by)
    announce("domain", fresh.pk)
    return fresh


def free_name(deployment: Deployment) -> str:
    """A name that leads here without anybody registering one, to offer where Bakery's own names end in localhost;
    empty where there is none. sslip.io answers for every name that holds an address."""
    bakery = django_settings.BAKERY
    if not bakery.public_ip or not is_local(bakery.apps_domain):
        return ""
    return f"{deployment.name}.{bakery.public_ip.replace('.', '-')}.sslip.io"


def _locked_names(deployment: Deployment | None) -> list[Domain]:
    """All names beside which one is changed, in a transaction that nobody else is in at the same time."""
    if deployment is not None:
        locked = Deployment.objects.select_for_update().filter(pk=deployment.pk).first()
        ownership.refuse_deleting(locked or deployment)
    return list(Domain.objects.select_for_update().filter(deployment=deployment).order_by("created_at", "pk"))


def _changed(deployment: Deployment | None, by: User | None) -> None:
    if deployment is not None:
        requests.apply_routes(deployment, by=by)
    else:
        request_panel()


def _fall_back(left: list[Domain]) -> None:
    usable = [domain for domain in left if not domain.is_wildcard]
    heir = next((domain for domain in usable if domain.generated), next(iter(usable), None))
    if heir:
        Domain.objects.filter(pk=heir.pk).update(primary=True, redirects=False)
    else:  # there is nothing to lead to any more
        Domain.objects.filter(pk__in=[domain.pk for domain in left]).update(redirects=False)


def _let_go_of_primary(siblings: list[Domain]) -> None:
    Domain.objects.filter(pk__in=[sibling.pk for sibling in siblings], primary=True).update(primary=False)


def _primary_of(siblings: list[Domain], domain: Domain) -> Domain | None:
    if domain.primary:
        raise Refused(
            "domain.primary-redirects",
            f"{display(domain.hostname)} is the primary name, to which others lead.",
            "Make another name primary first.",
        )
    return next((sibling for sibling in siblings if sibling.primary), None)


def _refuse_redirect(name: DomainName | None, primary: Domain | None) -> None:
    """A redirect needs somewhere to lead that its visitors can reach."""
    if primary is None:
        raise Refused("domain.no-primary", "There is no primary name to redirect to.", "Add that name first.")
    if name is not None and is_local(primary.hostname):
        raise Refused(
            "domain.redirects-nowhere",
            f"{name.display} would lead visitors to {primary.hostname}, which only this machine can reach.",
            "Make a name of your own primary first.",
        )


def _refuse_for_the_panel(changes: Mapping[str, Any]) -> None:
    """What is set for an application's names is not written for the panel's: it would only seem to be in force."""
    if any(changes.values()):
        raise Refused(
            "domain.of-the-panel",
            "Bakery's own pages are served at each of their names, and have their own sign-in: nothing is set for one.",
            "Remove a name that is not wanted.",
        )


def _gone(domain: Domain) -> Refused:
    return Refused("domain.gone", f"{display(domain.hostname)} was removed in the meantime.")
