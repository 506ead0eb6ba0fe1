"""The names of certificates in the store. Apart, because the installer has no library that reads certificates."""

from __future__ import annotations

import re

NAME = re.compile(r"deployment-[1-9][0-9]{0,6}|panel")


def store_name(text: str) -> str:
    """The name as it may stand in a path; anything else is a ``ValueError``."""
    if not NAME.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not usable as the name of a certificate.")
    return text
