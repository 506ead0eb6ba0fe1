"""Sees by itself what is to be asked for: a first certificate, one with other names, the next try after a failure, the
removal of one that nobody uses. Run by beat every few seconds."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from django.utils import timezone

from bakery.models import Task, TaskKind
from deployments.models import Deployment
from deployments.services import host
from domains.models import Certificate, Challenge, Domain, Source
from domains.services import issuance
from domains.services.authority import certbot
from domains.services.eligibility import choose, covers, covers_all
from domains.services.issuing import forget_files
from infrastructure.errors import Problem

logger = logging.getLogger(__name__)
Names = dict[int | None, list[Domain]]  # by deployment; None: the panel's


def tend() -> list[Task]:
    """Returns what was asked for."""
    names = _names()
    rows = {row.deployment_id: row for row in Certificate.objects.select_related("deployment", "dns_provider")}
    busy = set(Task.objects.unfinished().filter(kind=TaskKind.CERTIFICATE).values_list("deployment", flat=True))
    asked = []
    for owner in set(names) | set(rows):
        if owner in busy:
            continue
        try:
            task = _tend_one(owner, rows.get(owner), names.get(owner, []))
        except Problem as problem:  # somebody else was first, or it was deleted just now
            logger.info("No certificate is asked for: %s", problem)
            continue
        if task:
            asked.append(task)
    return asked


def forget_leftovers() -> list[str]:
    """Files of deployments that are gone, whatever ended whoever was to remove them; returns their names."""
    known = {row.store_name for row in Certificate.objects.all()}
    known |= {Certificate(deployment_id=task.deployment_id).store_name for task in _certificate_tasks()}
    tool = certbot()
    found = (set(host.router().certificates.names()) | tool.place.lineages()) - known
    _forget_challenges(host.router().acme_root / ".well-known" / "acme-challenge")
    for name in sorted(found):
        logger.warning("The certificate %s belongs to nobody any more and is removed", name)
        forget_files(name, tool)
    return sorted(found)


def _forget_challenges(folder: Path) -> None:
    """Answers to challenges that a Certbot left which was killed. Nobody asks for one after a day."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > 86400:
                path.unlink()


def _tend_one(owner: int | None, row: Certificate | None, names: list[Domain]) -> Task | None:
    if row is not None and row.is_installed and not any(covers(row.names, one.hostname) for one in names):
        return issuance.remove_unused(row)
    if row is not None and (not row.automatic or row.source == Source.UPLOADED):
        return None
    if row is not None and row.retry_after and row.retry_after > timezone.now():
        return None
    chosen = choose(row, names)
    if not chosen.ready or (row is not None and row.challenge == Challenge.DNS and row.dns_provider_id is None):
        return None
    if row is not None and row.is_installed and not _is_to_change(row, chosen.ready, names):
        return None
    deployment = Deployment.objects.filter(pk=owner, deleting=False).first() if owner else None
    if owner and deployment is None:
        return None
    return issuance.request_certificate(deployment, by=None)


def _is_to_change(row: Certificate, ready: tuple[str, ...], names: list[Domain]) -> bool:
    """A name that is ready is not on it, or one that is on it was removed; or it was revoked. One whose DNS is wrong
    for a while stays on it: it may come back."""
    if row.revoked_at or not covers_all(row.names, ready) or not _is_there(row):
        return True
    there = {one.hostname for one in names}
    return any(name not in there for name in row.names)


def _is_there(row: Certificate) -> bool:
    """Its files: a panel that was restored on another host has the row alone."""
    return (host.router().certificates.root / row.store_name / "current" / "chain.pem").exists()


def _names() -> Names:
    found: Names = defaultdict(list)
    # Without what was seen of each, which is long and would be read every few seconds.
    for domain in Domain.objects.only("deployment_id", "hostname", "verdict", "generated"):
        found[domain.deployment_id].append(domain)
    return dict(found)


def _certificate_tasks() -> list[Task]:
    return list(Task.objects.unfinished().filter(kind=TaskKind.CERTIFICATE))
