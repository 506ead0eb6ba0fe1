"""Bakery's own pages in Nginx: under the machine's address over http, always, and under their domains beside that.

A domain goes over to https once a certificate that covers it is installed. Whatever is wrong with one, the machine's
address still leads to the pages: nobody is locked out by a name.
"""

from __future__ import annotations

import logging
import socket

from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from bakery.addresses import panel_domains
from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from deployments.services import host
from domains.models import Domain
from infrastructure.errors import HostProblem

ALARM = "panel.not-in-nginx"
CERTIFICATE = "panel"
logger = logging.getLogger(__name__)


def request_panel() -> None:
    """The panel's names, or their certificate, are others now. A lost message is made up for by beat."""
    panel_domains.forget()
    transaction.on_commit(_send, robust=True)


def apply_panel() -> None:
    """Bring Nginx to what the database says. May be repeated; without a change nothing is reloaded."""
    domains = [domain.hostname for domain in Domain.objects.filter(deployment=None).order_by("-primary", "pk")]
    try:
        _apply(domains)
    except HostProblem as problem:
        raise_alarm(ALARM, subject="Bakery’s pages", message=problem.message, hint=problem.hint, urgent=True)
        raise
    end_alarm(ALARM)
    announce("panel", 0)


def _apply(domains: list[str]) -> None:
    """The machine's own names may be another site's in its Nginx: those are left to it."""
    fixed = fixed_names()
    for count in range(len(fixed), -1, -1):
        names = tuple(dict.fromkeys([*fixed[:count], *domains]))
        try:
            host.router().apply_panel(names, CERTIFICATE if domains else "")
        except HostProblem as problem:
            if problem.id != "nginx.name-taken" or len(names) <= len(domains):
                raise
        else:
            return


def fixed_names() -> list[str]:
    """Those that need no row, the most needed first: on a server BAKERY_BASE_URL's, the machine's address and its name.
    In the quickstart Nginx has nothing of the pages but their domains; their address is the web process's own."""
    from infrastructure.nginx.panel import panel_names

    bakery = settings.BAKERY
    if bakery.web_server != "system":
        return []
    return list(panel_names(bakery.base_url, bakery.public_ip, socket.gethostname()))


def _send() -> None:
    from domains.tasks import apply_panel as task

    try:
        task.apply_async(retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("No worker could be woken for the panel's names: %s", error)
