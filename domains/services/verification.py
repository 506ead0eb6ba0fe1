"""Looks at what DNS says of names: when somebody asks, and by itself, ever less often while nothing changes."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from domains.models import Domain, Verdict
from domains.services.looks import Looked, issuer_of, look_at
from infrastructure.hostnames import display

logger = logging.getLogger(__name__)
# Between two looks while the verdict stays the same, seconds. One that is right is looked at once a day.
INTERVALS = (60, 120, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400)
AT_ONCE = 8  # names that are looked at side by side: a look is waiting, mostly
LOCAL = Q(hostname="localhost") | Q(hostname__endswith=".localhost")
NOT_SURE = "dns.unreachable"  # this server's own way to DNS is broken: that says nothing of a name
_looking = threading.Lock()


def verify(domain: Domain) -> Domain:
    """Look now, for up to 15 seconds, and write down what was seen."""
    if is_local(domain.hostname):
        return domain
    _store(domain.pk, look_at(domain.hostname, issuer_of(domain)))
    return Domain.objects.filter(pk=domain.pk).first() or domain


def request_verification(domain: Domain) -> None:
    """Have a worker look soon."""
    Domain.objects.filter(pk=domain.pk).exclude(LOCAL).update(next_check_at=timezone.now())
    transaction.on_commit(_wake, robust=True)


def verify_due() -> int:
    """Look at every name whose time has come; returns how many those were. One thread of a worker does it at a time,
    and goes on with what falls due meanwhile."""
    if not _looking.acquire(blocking=False):
        return 0
    try:
        count = 0
        while due := list(_due()[:AT_ONCE]):
            wanted = [(domain.hostname, issuer_of(domain)) for domain in due]
            with ThreadPoolExecutor(max_workers=len(due)) as pool:
                looks = list(pool.map(_look_or_none, wanted))
            for domain, seen in zip(due, looks, strict=True):
                _store(domain.pk, seen)
            count += len(due)
        return count
    finally:
        _looking.release()


def is_local(name: str) -> bool:
    """Whether it means the visitor's own machine, where DNS is not asked."""
    return name == "localhost" or name.endswith(".localhost")


def next_look(verdict: str, looks: int, wait: int = 0) -> timedelta:
    """``looks``: how many in a row came to this verdict. ``wait``: seconds until caches are known to run out."""
    if verdict == Verdict.RIGHT:
        return timedelta(days=1)
    seconds = INTERVALS[min(looks, len(INTERVALS)) - 1]
    return timedelta(seconds=min(seconds, wait + 5) if wait else seconds)


def _due() -> Any:
    never = Q(next_check_at=None, verdict=Verdict.UNCHECKED)
    gone = Q(deployment__deleting=True)
    names = Domain.objects.filter(never | Q(next_check_at__lte=timezone.now())).exclude(LOCAL).exclude(gone)
    return names.select_related("deployment__certificate").order_by("next_check_at", "pk")


def _look_or_none(wanted: tuple[str, str]) -> Looked | None:
    try:
        return look_at(*wanted)
    except Exception:  # a mistake of ours must not keep the other names waiting
        logger.exception("%s could not be looked at", wanted[0])
        return None


def _store(pk: int, seen: Looked | None) -> None:
    with transaction.atomic():
        domain = Domain.objects.select_for_update().filter(pk=pk).first()
        if domain is None:  # removed in the meantime
            return
        now = timezone.now()
        if seen is None:
            Domain.objects.filter(pk=pk).update(next_check_at=now + timedelta(hours=1))
            return
        judged = seen.judgement
        domain.checks = domain.checks + 1 if domain.verdict == judged.verdict else 1
        domain.verdict = Verdict(judged.verdict)
        right = domain.verdict == Verdict.RIGHT
        domain.report = {**report_of(seen), "not_right": 0 if right else domain.report.get("not_right", 0) + 1}
        domain.checked_at = now
        domain.next_check_at = now + next_look(judged.verdict, domain.checks, judged.wait)
        if right:
            domain.right_at = now
        domain.save(update_fields=["checks", "verdict", "report", "checked_at", "next_check_at", "right_at"])
        _alarm(domain)
    announce("domain", pk)
    if domain.deployment_id:
        announce("deployment", domain.deployment_id)


def report_of(seen: Looked) -> dict[str, Any]:
    """What pages show: ``records`` (by, type, name, value, ttl), ``findings``, ``changes``, ``arrivals``;
    ``not_right``: looks in a row that came to another verdict."""
    records: list[dict[str, Any]] = []
    for look in seen.observation.looks:
        for kind in ("A", "AAAA"):
            answer = look.answer(kind)
            said = [{"by": look.server, "zone": look.of_the_zone, **asdict(record)} for record in answer.records]
            if answer.trouble:
                nothing = {"type": kind, "name": seen.observation.name, "value": answer.trouble.value, "ttl": ""}
                said.append({"by": look.server, "zone": look.of_the_zone, **nothing, "trouble": True})
            records += [line for line in said if line not in records]
    records += [{"by": "CAA", "zone": False, **asdict(record)} for record in seen.observation.caa.records]
    return {
        "records": records,
        "findings": [asdict(finding) for finding in seen.judgement.findings],
        "changes": [asdict(change) for change in seen.judgement.changes],
        "arrivals": [asdict(arrival) for arrival in seen.arrivals],
        "zone": seen.observation.zone,
        "wait": seen.judgement.wait,
    }


def _alarm(domain: Domain) -> None:
    """A name that was right and is not any more, seen twice: DNS has its moments."""
    key = f"domain.wrong:{domain.pk}"
    if domain.verdict == Verdict.RIGHT:
        end_alarm(key)
        return
    errors = [finding for finding in domain.report["findings"] if finding["severity"] == "error"]
    if domain.right_at is None or not errors or errors[0]["id"] == NOT_SURE or domain.report["not_right"] < 2:
        return
    raise_alarm(
        key,
        subject=display(domain.hostname),
        message=errors[0]["message"],
        hint=errors[0]["hint"],
        urgent=True,
        deployment=domain.deployment,
    )


def _wake() -> None:
    from domains.tasks import verify_names

    try:
        verify_names.apply_async(retry=False)
    except (OperationalError, OSError) as error:  # beat looks as well
        logger.warning("No worker could be woken to look at DNS: %s", error)
