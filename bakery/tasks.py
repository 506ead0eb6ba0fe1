"""Celery's side of what Bakery asks itself."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="bakery.tasks.answer")
def answer(token: str) -> None:
    """A job that shows that its queue is worked on."""
    from bakery.doctor.jobs import give_answer

    give_answer(token)


@shared_task(name="bakery.tasks.tend_update")
def tend_update() -> None:
    """Start what was asked for, and carry what a running update tells into the activity feed."""
    from bakery.updates.tending import tend

    tend()


@shared_task(name="bakery.tasks.look_for_version")
def look_for_version(now: bool = False) -> None:
    """Look once a day whether there is a newer version of Bakery; ``now``: somebody asked."""
    from bakery.updates.looking import is_due, look

    if now or is_due():
        look()
