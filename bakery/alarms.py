"""Raises and ends alarms: what a person has to look at. May be called again and again with what is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone

from bakery.events import announce
from bakery.models import Alarm

if TYPE_CHECKING:
    from deployments.models import Deployment


def raise_alarm(
    key: str, *, subject: str, message: str, hint: str = "", urgent: bool = False, deployment: Deployment | None = None
) -> Alarm:
    """Say it, or say it anew where it is being said already. One open alarm per ``key``."""
    said = {"subject": subject, "message": message, "hint": hint, "urgent": urgent, "deployment": deployment}
    with transaction.atomic():
        alarm, is_new = Alarm.objects.select_for_update().get_or_create(key=key, ended_at=None, defaults=said)
        changed = {name: value for name, value in said.items() if getattr(alarm, name) != value}
        if changed:
            for name, value in changed.items():
                setattr(alarm, name, value)
            alarm.save()
        if is_new or changed:
            announce("alarm", alarm.pk)
    return alarm


def end_alarm(*keys: str) -> None:
    """What they said is over."""
    for alarm in Alarm.objects.filter(key__in=keys, ended_at=None):
        Alarm.objects.filter(pk=alarm.pk, ended_at=None).update(ended_at=timezone.now())
        announce("alarm", alarm.pk)


def alarm_shape(alarm: Alarm) -> dict[str, Any]:
    """As JSON, for the API."""
    return {
        "key": alarm.key,
        "subject": alarm.subject,
        "message": alarm.message,
        "hint": alarm.hint,
        "urgent": alarm.urgent,
        "deployment": alarm.deployment.name if alarm.deployment else None,
        "raised_at": alarm.raised_at.isoformat(),
        "changed_at": alarm.changed_at.isoformat(),
        "ended_at": alarm.ended_at.isoformat() if alarm.ended_at else None,
    }
