"""How a unit of a user's program is kept away from the host: what releases, builds and clones have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from infrastructure.confinement import Confinement
from infrastructure.launcher import Launcher
from infrastructure.seclusion import first_closed
from infrastructure.systemd.view import Setting, can_be_hidden, view

FIXED = Path(__file__).with_name("untrusted.part")
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
# What the launcher needs to take the deployment's uid and to read its own files, and to make a mount namespace.
CAPABILITIES = "CAP_SETUID CAP_SETGID CAP_DAC_READ_SEARCH"
TO_SECLUDE = "CAP_SYS_ADMIN"


@dataclass(frozen=True)
class Plan:
    """``reach`` is what is left for the launcher to open: what lies in a directory that is closed to the uid."""

    settings: tuple[Setting, ...]
    reach: tuple[str, ...]

    def lines(self) -> str:
        return "\n".join("=".join(setting) for setting in self.settings)


def fixed() -> tuple[Setting, ...]:
    pairs = (line.partition("=") for line in FIXED.read_text().splitlines())
    return tuple((key, value) for key, _, value in pairs)


def plan(confinement: Confinement, launcher: Launcher, own: Path, hidden: Iterable[Path]) -> Plan:
    """``own`` is the launcher's directory of specs, which it writes to; ``hidden`` Bakery's directories."""
    uid = confinement.uid
    reach = [Path(path).resolve() for path in confinement.reach]
    closed = uid is not None and any(first_closed(path, uid) for path in reach)
    # Bakery's own user, who fetches over ssh, has its keys in a home, and repositories of this host may lie anywhere.
    covered = [path for path in hidden if can_be_hidden(path)] if uid is not None and not closed else []
    if any(not can_be_hidden(path) for path in (own, *reach)):
        covered = []
    writable = [own, *(path for path in reach if uid is None or (path.is_dir() and path.stat().st_uid == uid))]
    readable = [launcher.directory.parent, *(path for path in reach if path not in writable)]
    # Where one of these lies below a home, hiding homes would hide it as well.
    hide_homes = uid is not None and not _at_home(launcher.python, launcher.directory, own, *reach)
    return Plan(
        settings=(
            *view(covered, writable, readable),
            ("ProtectHome", "yes" if hide_homes else "read-only"),
            ("CapabilityBoundingSet", f"{CAPABILITIES} {TO_SECLUDE}" if closed else CAPABILITIES),
            ("RestrictNamespaces", "mnt" if closed else "yes"),
            ("SystemCallFilter", "@system-service @mount" if closed else "@system-service"),
        ),
        reach=tuple(str(path) for path in reach) if closed else (),
    )


def _at_home(*paths: Path) -> bool:
    return any(home in (*path.parents, *path.resolve().parents) for path in paths for home in HOMES)
