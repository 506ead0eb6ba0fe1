"""Sites' files that somebody has changed by hand. Bakery keeps beside them what it wrote, so that it can tell, and put
back what it wrote: a broken edit of one site's file would otherwise keep every site's changes from being applied."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from infrastructure.files import make_directory, read_if_there, write_atomically
from infrastructure.nginx.prefix import Prefix

log = logging.getLogger(__name__)


def edited(prefix: Prefix) -> dict[Path, str]:
    """Files that are not as Bakery wrote them (or are gone), with what it wrote."""
    found = {}
    for kept in sorted(prefix.written.glob("*.conf")):
        site = prefix.sites / kept.name
        if _stamp(site) == _stamp(kept):
            continue
        text = kept.read_text()
        if read_if_there(site) != text:
            found[site] = text
        else:  # the next look needs to read neither
            os.utime(kept, ns=(time.time_ns(), site.stat().st_mtime_ns))
    return found


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def kept_copies(prefix: Prefix, sites: Mapping[Path, str | None]) -> dict[Path, str | None]:
    """What is to be kept of these files, all of which are about to be written."""
    return {prefix.written / path.name: text for path, text in sites.items() if path.parent == prefix.sites}


def set_aside(prefix: Prefix, files: Mapping[Path, str]) -> None:
    """Keep what somebody wrote, as ``written/<name>.edited``, before it is replaced; and say so."""
    make_directory(prefix.written, 0o700)
    for path in files:
        theirs = read_if_there(path)
        if theirs is None:
            log.warning("%s had been removed by hand; it is put back.", path)
            continue
        aside = prefix.written / f"{path.name}.edited"
        write_atomically(aside, theirs, 0o600)
        log.warning("%s had been changed by hand; Bakery's own is put back. The change is in %s.", path, aside)
