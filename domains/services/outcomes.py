"""Writes down how a try went, so that the next one is made neither too soon nor never; and says what needs a person."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone

from bakery.alarms import end_alarm, raise_alarm
from bakery.events import announce
from bakery.models import Alarm
from domains.models import Certificate, Source
from infrastructure.certbot.failures import IssuanceFailed
from infrastructure.certificates.pem import Facts
from infrastructure.errors import Problem
from infrastructure.hostnames import display

# After so many failures in a row: the wait. Let's Encrypt lets a name fail five times an hour, so Bakery stays at four.
PAUSES = (dt.timedelta(minutes=2), dt.timedelta(minutes=10), dt.timedelta(minutes=20), dt.timedelta(minutes=40))
LONGEST_PAUSE = dt.timedelta(days=1)
ALARMING = 3  # failures in a row of a first certificate; somebody is still looking at the first ones
WARNINGS = (21, 14, 7)  # days before it expires
SHORT_PAUSE = dt.timedelta(minutes=5)  # after what does not count at the authority


def failed_key(certificate: Certificate) -> str:
    return f"certificate.renewal-failed:{certificate.pk}"


def expires_key(certificate: Certificate) -> str:
    return f"certificate.expires:{certificate.pk}"


def revoked_key(certificate: Certificate) -> str:
    return f"certificate.revoked:{certificate.pk}"


def installed(certificate: Certificate, facts: Facts, source: str | None = None) -> None:
    """The row says what Nginx has now; what was wrong before is over."""
    changes = {
        "names": list(facts.names),
        "issuer": facts.issuer,
        "serial": facts.serial,
        "fingerprint": facts.fingerprint,
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "source": source or certificate.source,
        "installed_at": timezone.now(),
        "revoked_at": None,
        "error_id": "",
        "error_message": "",
        "error_hint": "",
        "failures": 0,
        "retry_after": None,
    }
    for name, value in changes.items():
        setattr(certificate, name, value)
    certificate.save(update_fields=list(changes))
    end_alarm(failed_key(certificate), revoked_key(certificate))
    tell_of_expiry(certificate)  # of one that was uploaded with a few days left, too
    announce("certificate", certificate.pk)


def failed(certificate: Certificate, problem: Problem) -> None:
    """Count it, and remember until when nobody asks again."""
    now = timezone.now()
    certificate.failures += 1
    certificate.error_id, certificate.error_message = problem.id, problem.message
    certificate.error_hint, certificate.tried_at = problem.hint, now
    until = now + (pause_after(certificate.failures) if _burns(problem) else SHORT_PAUSE)
    asked = problem.not_before if isinstance(problem, IssuanceFailed) else None
    certificate.retry_after = max(until, asked) if asked else until
    fields = ["failures", "error_id", "error_message", "error_hint", "tried_at", "retry_after"]
    certificate.save(update_fields=fields)
    if certificate.is_installed and certificate.source == Source.CERTBOT:
        said, left = "could not be renewed", _left(certificate)
    else:
        said, left = "could not be issued", ""
    if certificate.is_installed or certificate.failures >= ALARMING:
        raise_alarm(
            failed_key(certificate),
            subject=certificate.subject,
            message=f"Its certificate {said}: {problem.message}",
            hint=f"{left}{problem.hint}",
            deployment=certificate.deployment,
        )
    announce("certificate", certificate.pk)


def tell_of_expiry(certificate: Certificate) -> None:
    until, key = certificate.not_after, expires_key(certificate)
    if until is None:
        return
    left = until - timezone.now()
    life = until - (certificate.not_before or until - dt.timedelta(days=90))
    # One that lives for days only is warned of in its last quarter: it is never three weeks before its end.
    first_warning = min(dt.timedelta(days=WARNINGS[0]), life / 4)
    if left > first_warning:
        end_alarm(key)
        return
    days = max(0, left.days)
    names = in_words(certificate.names)
    said = f"The certificate for {names} expires in {days} days, on {until:%d %B %Y}."
    if left.total_seconds() <= 0:
        said = f"The certificate for {names} has expired on {until:%d %B %Y}: browsers refuse the site."
    elif days == 0:
        said = f"The certificate for {names} expires today, {until:%H:%M} UTC."
    hint = "Upload its successor." if certificate.source == Source.UPLOADED else _why_not_renewed(certificate)
    raise_alarm(
        key,
        subject=certificate.subject,
        message=said,
        hint=hint,
        urgent=days < WARNINGS[-1],
        deployment=certificate.deployment,
    )


def _left(certificate: Certificate) -> str:
    return f"The one that is served is good until {certificate.not_after:%d %B %Y}. " if certificate.not_after else ""


def pause_after(failures: int) -> dt.timedelta:
    """The wait after so many failures in a row.

    >>> [str(pause_after(n)) for n in (1, 2, 5, 20)]
    ['0:02:00', '0:10:00', '1:20:00', '1 day, 0:00:00']
    """
    if failures <= len(PAUSES):
        return PAUSES[max(0, failures - 1)]
    # Bounded before the power is taken: a failure may have been counted for years.
    return min(PAUSES[-1] * 2 ** min(failures - len(PAUSES), 10), LONGEST_PAUSE)


def end_alarms_of(certificate: Certificate, names: list[str]) -> None:
    keys = [failed_key(certificate), expires_key(certificate), revoked_key(certificate)]
    end_alarm(*keys, *(not_served_key(name) for name in names))


def end_alarms_of_gone_names(names_there: set[str]) -> None:
    """A name that was removed has nothing left to serve."""
    prefix = not_served_key("")
    for key in Alarm.objects.filter(key__startswith=prefix, ended_at=None).values_list("key", flat=True):
        if key.removeprefix(prefix) not in names_there:
            end_alarm(key)


def not_served_key(hostname: str) -> str:
    return f"certificate.not-served:{hostname}"


def in_words(names: list[str], most: int = 4) -> str:
    shown = ", ".join(display(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _burns(problem: Problem) -> bool:
    return problem.burns if isinstance(problem, IssuanceFailed) else False


def _why_not_renewed(certificate: Certificate) -> str:
    if certificate.error_message:
        return f"The last renewal failed: {certificate.error_message} {certificate.error_hint}".strip()
    if not certificate.automatic:
        return "It is not renewed by itself: have it renewed, or switch that on."
    return "Bakery renews it by itself; if this stays, see the log of its last certificate task."
