"""Celery's side of databases: call the service."""

from __future__ import annotations

from celery import shared_task


@shared_task(name="databases.tasks.work")
def work(database_id: int) -> None:
    """Somebody asked something of a database."""
    from databases.services.work import work_on

    work_on(database_id)


@shared_task(name="databases.tasks.tend")
def tend() -> None:
    """Ask for what is due, and wake a worker for what waits: what a killed one left, too."""
    from databases.services.tending import tend as tend_all

    tend_all()


@shared_task(name="databases.tasks.measure")
def measure() -> None:
    """Look whether each answers; once an hour at what it measures."""
    from databases.services.measuring import look_at_due

    look_at_due()


@shared_task(name="databases.tasks.delete_backups")
def delete_backups() -> None:
    """Some are to go."""
    from databases.services.deletion import delete_marked

    delete_marked()


@shared_task(name="databases.tasks.copy_backups")
def copy_backups() -> None:
    """The copies of some are missing."""
    from databases.services.copying import copy_again

    copy_again()


@shared_task(name="databases.tasks.take_stock")
def take_stock() -> None:
    """Compare the backups that are known with the files that lie there."""
    from databases.services.inventory import take_stock as compare

    compare()


@shared_task(name="databases.tasks.check_storage")
def check_storage(storage_id: int) -> None:
    """Somebody wants to know whether it works."""
    from databases.models import Storage
    from databases.services.storage import check_storage as check

    if found := Storage.objects.filter(pk=storage_id).first():
        check(found)
