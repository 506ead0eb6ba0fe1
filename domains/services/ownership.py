"""Who may have a name: Bakery's own are never an application's, and each of the others is one deployment's."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings

from deployments.models import Deployment
from domains.models import Domain
from infrastructure.errors import Problem, Refused
from infrastructure.hostnames import DomainName, display


def refuse_taken(name: DomainName, *, of: Deployment | None) -> None:
    """Raise ``domain.taken`` with whoever has the name already."""
    row = Domain.objects.select_related("deployment").filter(hostname=name).first()
    if row is None:
        return
    if row.deployment_id == (of.pk if of else None):
        raise Refused("domain.taken", f"{name.display} is a domain of {_owner(row)} already.")
    raise Refused(
        "domain.taken",
        f"{name.display} belongs to {_owner(row)}.",
        "Remove it there first, or choose another name.",
    )


def refuse_bakerys(name: DomainName) -> None:
    """Raise ``domain.of-bakery`` for a name of the panel's, or below the one of generated names."""
    bakery = settings.BAKERY
    if bakery.apps_domain == name.base or name.base.endswith(f".{bakery.apps_domain}"):
        raise Refused(
            "domain.of-bakery",
            f"Names under {bakery.apps_domain} are given by Bakery: each deployment has the one with its own name.",
            "Use a domain that you have registered.",
        )
    for own in panel_names():
        # Nginx prefers the exact name, where it serves the panel itself. Elsewhere the panel answers on a port of its
        # own, and browsers would send its cookies to an application that has the name on another.
        if own == name or (name.covers(own) and bakery.web_server != "system"):
            raise Refused(
                "domain.of-bakery",
                f"{display(own)} is Bakery's own name, and no application gets it.",
                "Choose another name.",
            )


def panel_names() -> set[str]:
    """Under which Bakery's own pages are reached."""
    base = (urlsplit(settings.BAKERY.base_url).hostname or "").rstrip(".").lower()
    return {base, *Domain.objects.filter(deployment=None).values_list("hostname", flat=True)} - {""}


def refuse_applications(name: DomainName) -> None:
    """For the panel's own name: it can be no wildcard, and none that Bakery gives to applications."""
    if name.is_wildcard:
        raise Refused("domain.wildcard", "Bakery's own pages need one name, not a wildcard.")
    if name.endswith(f".{settings.BAKERY.apps_domain}"):
        given = Domain.objects.filter(hostname=name).exists()
        if given or Deployment.objects.filter(name=name.partition(".")[0]).exists():
            raise Refused("domain.taken", f"{name.display} is the name of an application.", "Choose another name.")


def refuse_deleting(deployment: Deployment) -> None:
    if deployment.deleting:
        raise Problem("deployment.deleting", f"{deployment.name} is being deleted.", "Nothing more can be asked of it.")


def _owner(domain: Domain) -> str:
    return f"the deployment {domain.deployment.name}" if domain.deployment else "Bakery's own pages"
