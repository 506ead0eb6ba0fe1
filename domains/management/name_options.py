"""Settings of a name as text: ``hsts_seconds=31536000 allowed_networks=10.0.0.0/8 header.X-Frame-Options=DENY``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bakery.management.base import Usage
from bakery.management.parsing import truth
from domains.services.name_settings import SETTINGS

HEADER = "header."
NUMBERS, TRUTHS = ("hsts_seconds", "max_body_mb"), ("redirects", "maintenance")


def settings_from(given: Mapping[str, str]) -> dict[str, Any]:
    """Values of the settings' own types. ``headers=`` takes all headers away, ``header.NAME=VALUE`` are all there are
    from then on."""
    headers = {name.removeprefix(HEADER): value for name, value in given.items() if name.startswith(HEADER)}
    wanted = {name: _value(name, text) for name, text in given.items() if not name.startswith(HEADER)}
    return {**wanted, "headers": headers} if headers else wanted


def _value(name: str, text: str) -> Any:
    if name == "auth_password":
        raise Usage("A password is not written where others can read it: use --ask-password.")
    if name == "headers":
        if text:
            raise Usage("Headers are written one by one: header.X-Frame-Options=DENY.")
        return {}
    if name in TRUTHS:
        return truth(text)
    if name in NUMBERS:
        if not text and name == "max_body_mb":
            return None
        if not text.isdecimal():
            raise Usage(f"{name} is a whole number, not “{text}”.")
        return int(text)
    if name == "allowed_networks":
        return [text] if text else []
    if name not in SETTINGS:
        raise Usage(f"There is no setting {name}. There are: {', '.join(SETTINGS)}, header.NAME.")
    return text
