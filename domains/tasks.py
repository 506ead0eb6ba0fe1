"""Celery's side of domains and certificates: call the service."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="domains.tasks.work_certificates")
def work_certificates() -> None:
    """Somebody asked something about a certificate."""
    from domains.services.certificate_work import work

    work()


@shared_task(name="domains.tasks.tend_certificates")
def tend_certificates() -> None:
    """Ask for what is missing, and go on with what a killed worker left."""
    from domains.services.certificate_work import work
    from domains.services.tending import tend

    tend()
    work()


@shared_task(name="domains.tasks.watch_certificates")
def watch_certificates() -> None:
    """Look, once a day for each, at what is really served."""
    from domains.services.watching import watch_due

    watch_due()


@shared_task(name="domains.tasks.apply_panel")
def apply_panel() -> None:
    """Nginx's part for Bakery's own pages."""
    from domains.services.panel import apply_panel as apply

    apply()


@shared_task(name="domains.tasks.verify_names")
def verify_names() -> None:
    """Look at what DNS says of the names whose time has come."""
    from domains.services.verification import verify_due

    verify_due()
