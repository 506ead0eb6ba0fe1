"""Settings of a deployment as text: ``--set memory_mb=1024``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from bakery.management.base import Usage
from bakery.management.parsing import assignments, truth
from deployments.models import Deployment
from deployments.services.settings import CHANGEABLE


def settings_from(items: Iterable[str]) -> dict[str, Any]:
    """Values of the fields' own types. Whether they are sensible is the service's to say."""
    return {name: _value(name, text) for name, text in assignments(items, what="FIELD=VALUE").items()}


def _value(name: str, text: str) -> Any:
    if name not in CHANGEABLE:
        raise Usage(f"There is no setting {name}. There are: {', '.join(sorted(CHANGEABLE))}.")
    field = Deployment._meta.get_field(name)
    if isinstance(field, models.BooleanField):
        return truth(text)
    if isinstance(field, models.Field) and field.null and text == "":
        return None
    if isinstance(field, models.IntegerField) and not text.isdecimal():
        raise Usage(f"{name} is a whole number, not “{text}”.")
    try:
        return field.to_python(text)  # type: ignore[union-attr]
    except ValidationError as error:
        raise Usage(f"{name}: {' '.join(error.messages)}") from error


def given(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The options that were written; the model's defaults hold for the others."""
    return {name: options[name] for name in names if options[name] is not None}
