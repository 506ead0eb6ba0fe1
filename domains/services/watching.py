"""The daily look: what Nginx really serves at each name, whether it is revoked, how long it is good; renews in time and
raises alarms. Also notices what Certbot's own timer has renewed."""

from __future__ import annotations

import datetime as dt
import logging

from django.db.models import F, Q
from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.models import Task, TaskKind
from deployments.services import host
from domains.models import Certificate, Domain, Source
from domains.services import issuance, outcomes
from domains.services.authority import certbot
from domains.services.eligibility import covers, domains_of
from domains.services.serving import apply_names, look_at_one
from domains.services.tending import forget_leftovers
from infrastructure.certificates.pem import Facts, read_pair
from infrastructure.certificates.revocation import revoked_at
from infrastructure.errors import Problem
from infrastructure.hostnames import display

EVERY = dt.timedelta(days=1)
AGAIN = dt.timedelta(hours=1)  # where something was wrong
logger = logging.getLogger(__name__)


def watch_due() -> list[Certificate]:
    """Look at those that were not looked at for a day; at those with something wrong after an hour."""
    now = timezone.now()
    wrong = Domain.objects.exclude(served_problem="").values("deployment")
    due = Q(checked_at=None) | Q(checked_at__lt=now - EVERY) | Q(installed_at__gt=F("checked_at"))
    due |= Q(checked_at__lt=now - AGAIN) & (Q(deployment__in=wrong) | ~Q(error_id=""))
    found = list(Certificate.objects.select_related("deployment", "dns_provider").filter(due).exclude(fingerprint=""))
    for certificate in found:
        try:
            watch(certificate)
        except Exception:
            logger.exception("The certificate of %s could not be looked at", certificate.subject)
    forget_leftovers()
    outcomes.end_alarms_of_gone_names(set(Domain.objects.values_list("hostname", flat=True)))
    return found


def watch(certificate: Certificate) -> None:
    notice_renewal(certificate)
    look_at_names(certificate)
    look_for_revocation(certificate)
    outcomes.tell_of_expiry(certificate)
    renew_in_time(certificate)
    Certificate.objects.filter(pk=certificate.pk).update(checked_at=timezone.now())


def notice_renewal(certificate: Certificate) -> None:
    """What Certbot has issued by its timer is in the store by its hook, or, where that failed, is put there now."""
    store, name = host.router().certificates, certificate.store_name
    there = store.current(name)
    if certificate.source == Source.CERTBOT:
        there = _take_from_certbot(certificate, there) or there
    if there is None or there.fingerprint == certificate.fingerprint:
        return
    names_before = set(certificate.names)
    outcomes.installed(certificate, there)
    logger.info("The certificate of %s was renewed by Certbot's timer", certificate.subject)
    if set(there.names) != names_before:
        apply_names(certificate.deployment, by=None)


def _take_from_certbot(certificate: Certificate, there: Facts | None) -> Facts | None:
    tool, name = certbot(), certificate.store_name
    chain, key = tool.chain_of(name), tool.key_of(name)
    newest = tool.facts_of(name)
    if not chain or not key or newest is None or (there is not None and newest.not_before <= there.not_before):
        return None
    try:
        pair = read_pair(chain, key)
        host.router().certificates.install(name, pair)
    except (Problem, OSError) as error:
        logger.warning("What Certbot has issued for %s cannot be served: %s", certificate.subject, error)
        return None
    return pair


def look_at_names(certificate: Certificate) -> None:
    for domain in domains_of(certificate.deployment):
        key = outcomes.not_served_key(domain.hostname)
        held = covers(certificate.names, domain.hostname)
        if not held:
            end_alarm(key)
            continue
        if look_at_one(domain, certificate):
            end_alarm(key)
            continue
        domain.refresh_from_db()
        raise_alarm(
            key,
            subject=display(domain.hostname),
            message=f"HTTPS does not work at {display(domain.hostname)}: {domain.served_problem}",
            hint="See manage.py doctor. Applying the deployment's routes anew may help.",
            urgent=True,
            deployment=domain.deployment,
        )


def look_for_revocation(certificate: Certificate) -> None:
    folder = host.router().certificates.root / certificate.store_name / "current" / "chain.pem"
    try:
        moment = revoked_at(folder.read_bytes())
    except (OSError, ValueError) as error:
        logger.warning("The certificate of %s cannot be read: %s", certificate.subject, error)
        return
    if moment is None:
        return
    if certificate.revoked_at != moment:
        certificate.revoked_at = moment
        certificate.save(update_fields=["revoked_at"])
    uploaded = certificate.source == Source.UPLOADED
    raise_alarm(
        outcomes.revoked_key(certificate),
        subject=certificate.subject,
        message=f"Its certificate was revoked by the authority on {moment:%d %B %Y, %H:%M} UTC.",
        hint="Upload another one." if uploaded else "Bakery has another one issued.",
        urgent=True,
        deployment=certificate.deployment,
    )


def renew_in_time(certificate: Certificate) -> Task | None:
    """In the last third of its life. Certbot's timer comes first: it looks twice a day and begins at that third."""
    if certificate.source != Source.CERTBOT or not certificate.automatic:
        return None
    if certificate.not_after is None or certificate.not_before is None:
        return None
    life = certificate.not_after - certificate.not_before
    begins = certificate.not_after - life / 3 + min(EVERY, life / 12)
    if timezone.now() < begins and not certificate.revoked_at:
        return None
    if certificate.retry_after and certificate.retry_after > timezone.now():
        return None
    running = Task.objects.unfinished().filter(kind=TaskKind.CERTIFICATE, subject=certificate.subject)
    if running.exists():
        return None
    try:
        return issuance.renew(certificate, by=None)
    except Problem as problem:
        logger.warning("The certificate of %s is not renewed now: %s", certificate.subject, problem)
        return None
