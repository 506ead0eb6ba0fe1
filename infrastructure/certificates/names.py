"""What has to be known of the store without a library that reads certificates: the installer has none."""

from __future__ import annotations

import re

DIRECTORY_MODE = 0o750  # its group is that of Nginx's workers
NAME = re.compile(r"deployment-[1-9][0-9]{0,6}|panel")


def store_name(text: str) -> str:
    """The name as it may stand in a path; anything else is a ``ValueError``."""
    if not NAME.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not usable as the name of a certificate.")
    return text
