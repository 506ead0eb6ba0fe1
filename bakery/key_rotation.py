"""Encrypting what is stored anew, when ``ENCRYPTION_KEY`` got a new first key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models.functions import Cast

from bakery.encryption import EncryptedField, cipher

BATCH = 500


@dataclass
class Count:
    rotated: int = 0
    already: int = 0
    unreadable: list[int] = field(default_factory=list)  # primary keys


def encrypted_fields() -> Iterator[tuple[type[models.Model], EncryptedField]]:
    for model in apps.get_models():
        for column in model._meta.local_fields:
            if isinstance(column, EncryptedField):
                yield model, column


def rotate(
    model: type[models.Model],
    column: EncryptedField,
    *,
    dry_run: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> Count:
    """Encrypt one column's values with the first key, in batches by primary key.

    A row that has the first key already is left alone, so an interrupted run is simply run again. A row that changed
    meanwhile is too: whoever wrote it had the new key.
    """
    first = Fernet(settings.BAKERY.encryption_keys[0])
    count = Count()
    last = 0
    rows = model._default_manager.annotate(as_stored=Cast(column.name, models.TextField())).order_by("pk")
    while batch := list(rows.filter(pk__gt=last).values_list("pk", "as_stored")[:BATCH]):
        for pk, token in batch:
            last = pk
            if token is None:
                continue
            if _reads(first, token):
                count.already += 1
                continue
            try:
                renewed = cipher().rotate(token.encode()).decode()
            except InvalidToken:
                count.unreadable.append(pk)
                continue
            count.rotated += 1
            if not dry_run:
                value = models.Value(renewed, output_field=models.TextField())  # as it is: the field would encrypt it
                rows.filter(pk=pk, as_stored=token).update(**{column.name: value})
        if len(batch) == BATCH:
            progress(count.rotated + count.already)
    return count


def _reads(key: Fernet, token: str) -> bool:
    try:
        key.decrypt(token.encode())
    except InvalidToken:
        return False
    return True
