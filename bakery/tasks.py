"""Celery's side of what Bakery asks itself."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="bakery.tasks.answer")
def answer(token: str) -> None:
    """A job that shows that its queue is worked on."""
    from bakery.doctor.jobs import give_answer

    give_answer(token)
