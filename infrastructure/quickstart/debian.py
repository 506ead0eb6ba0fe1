"""Debian packages, unpacked privately: the system's package database and folders stay as they are."""

from __future__ import annotations

import re
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.runner import Command, Runner
from infrastructure.which import which

INSTALL_LINE = re.compile(r"^Inst (\S+) ", re.MULTILINE)
PACKAGE_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?")


def apt_options(state: Path) -> tuple[str, ...]:
    """Lists and caches of our own; which packages are installed is still read from the system."""
    pairs = {
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "Dir::Cache::archives": state / "cache" / "archives",
        "APT::Sandbox::User": "root",  # as root: do not try to write as _apt into a directory that is ours
        "Acquire::Languages": "none",
        "APT::Install-Recommends": "false",
    }
    return tuple(part for name, value in pairs.items() for part in ("-o", f"{name}={value}"))


def needed(simulation: str) -> list[str]:
    """The packages that ``apt-get --simulate install`` would install."""
    return [name for name in INSTALL_LINE.findall(simulation) if PACKAGE_NAME.fullmatch(name)]


def unpack(packages: list[str], tools: Path, runner: Runner) -> None:
    """Unpack ``packages`` and the libraries that the machine lacks for them into ``tools/debian``."""
    from infrastructure.bun_install import download_environment

    if which("apt-get") is None or which("dpkg-deb") is None:
        raise HostProblem("quickstart.no-apt", "this machine has no apt-get to fetch them with")
    state, archives, root = tools / "apt", tools / "apt" / "archives", tools / "debian"
    for folder in (state / "lists" / "partial", state / "cache" / "archives" / "partial", archives, root):
        folder.mkdir(parents=True, exist_ok=True)
    env = download_environment()

    def apt(*argv: str, timeout: float = 300) -> str:
        command = Command(("apt-get", *apt_options(state), *argv), cwd=archives, env=env, timeout=timeout)
        return runner.run(command).output

    apt("update")
    wanted = needed(apt("--simulate", "install", "--", *packages))
    apt("download", "--", *wanted)
    for archive in sorted(archives.glob("*.deb")):
        runner.run(Command(("dpkg-deb", "-x", str(archive), str(root)), timeout=120))
        archive.unlink()
