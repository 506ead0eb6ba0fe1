"""Storages that speak S3: kept, tried, and reached for copies of backups."""

from __future__ import annotations

import logging
import secrets
from dataclasses import replace

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import User
from bakery.events import announce
from databases.models import Storage
from infrastructure.errors import Problem, Refused
from infrastructure.object_storage import Bucket, parse_endpoint
from infrastructure.secret import Secret

logger = logging.getLogger(__name__)


def save_storage(
    storage: Storage | None = None,
    *,
    by: User | None,
    name: str,
    endpoint: str,
    bucket: str,
    access_key: str,
    secret_key: str | Secret = "",
    region: str = "",
    prefix: str = "",
) -> Storage:
    """Make or change one. Without ``secret_key`` the one that is there stays. Nothing is asked of it yet: see
    ``check_storage``. Backups that were copied keep their place: another bucket is another storage."""
    row = storage or Storage()
    moved = storage and (storage.endpoint, storage.bucket) != (parse_endpoint(endpoint), bucket.strip())
    if storage and moved and storage.backups.exclude(storage_key="").exists():
        raise Refused(
            "storage.in-use",
            f"Backups are in {storage.bucket} at {storage.endpoint}.",
            "Make another storage for another bucket.",
        )
    row.name, row.endpoint, row.bucket = name.strip(), parse_endpoint(endpoint), bucket.strip()
    row.access_key, row.region, row.prefix = access_key.strip(), region.strip(), prefix.strip().strip("/")
    key = secret_key if isinstance(secret_key, Secret) else Secret(secret_key.strip())
    if key:
        row.secret_key = key
    elif storage is None:
        raise ValidationError({"secret_key": "The secret key is needed."})
    row.checked_at, row.problem = None, ""  # what was seen before says nothing of it now
    row.full_clean()
    row.save()
    return row


def delete_storage(storage: Storage, *, by: User | None) -> None:
    """Refused while a plan copies to it, or a backup is in it."""
    if storage.backups.exclude(storage_key="").exists():
        raise Refused("storage.in-use", f"Backups are in {storage.name}.", "Delete them first.")
    try:
        storage.delete()
    except ProtectedError as error:
        raise Refused(
            "storage.in-use", f"Databases are backed up to {storage.name}.", "Choose another one in their plans."
        ) from error


def check_storage(storage: Storage) -> str:
    """Write, read and delete a small object; what is wrong, in words, or nothing."""
    problem = ""
    try:
        replace(bucket_of(storage), is_tried_once=True).try_out(key_in(storage, f"bakery-check-{secrets.token_hex(8)}"))
    except Problem as found:
        problem = f"{found.message} {found.hint}".strip()
    Storage.objects.filter(pk=storage.pk).update(checked_at=timezone.now(), problem=problem)
    storage.refresh_from_db()
    announce("storage", storage.pk)
    return problem


def request_check(storage: Storage) -> None:
    """The same by a worker: the web process neither waits for it, nor loads what speaks S3."""
    transaction.on_commit(lambda: _send(storage.pk), robust=True)


def _send(pk: int) -> None:
    from databases.tasks import check_storage as task

    try:
        task.apply_async((pk,), retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("No worker could be woken to look at a storage: %s", error)


def bucket_of(storage: Storage) -> Bucket:
    return Bucket(
        endpoint=storage.endpoint,
        name=storage.bucket,
        access_key=storage.access_key,
        secret_key=storage.secret_key,
        region=storage.region,
    )


def key_in(storage: Storage, name: str) -> str:
    return f"{storage.prefix}/{name}" if storage.prefix else name
