"""Storages as JSON. Never their secret key."""

from __future__ import annotations

from typing import Any

from databases.models import Storage


def storage_shape(storage: Storage) -> dict[str, Any]:
    return {
        "id": storage.pk,
        "name": storage.name,
        "endpoint": storage.endpoint,
        "region": storage.region,
        "bucket": storage.bucket,
        "prefix": storage.prefix,
        "access_key": storage.access_key,
        "checked_at": storage.checked_at.isoformat() if storage.checked_at else None,
        "problem": storage.problem,
    }
