"""Release directories: one checkout per version, each with its own virtual environment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from infrastructure import version_file
from infrastructure.errors import HostProblem
from infrastructure.network import network_environment
from infrastructure.runner import Command, CommandFailed, LogSink, Runner, TimedOut
from infrastructure.trees import remove_tree
from infrastructure.update.mirror import UNTOUCHED, Mirror
from infrastructure.update.place import Place, package_environment
from infrastructure.version_file import Version

KEPT = 3
PIP_SECONDS = 1800.0


def make(place: Place, version: Version, mirror: Mirror, python: Path, runner: Runner, log: LogSink) -> Path:
    """The version's directory, whole. One that an earlier update left is taken as it is; a half one is made anew."""
    directory = place.release(version.sha)
    if version_file.read(directory):
        return directory
    if directory.exists():
        remove_tree(directory)
    directory.mkdir(mode=0o755)
    mirror.check_out(version.sha, directory)
    (directory / ".env").symlink_to("../../.env")
    make_environment(directory, python, runner, log, like=place.current.resolve())
    version_file.write(directory, version)
    return directory


def make_environment(directory: Path, python: Path, runner: Runner, log: LogSink, *, like: Path) -> None:
    """``like``: the release that runs. What both need in the same versions is taken from it, without the network."""
    environment = {
        "HOME": "/root",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **network_environment(),
        **package_environment(),
    }
    interpreter = directory / ".venv" / "bin" / "python"
    install = (str(interpreter), "-m", "pip", "install", "--progress-bar=off", "--no-input", "-r", "requirements.txt")
    # Nobody but root may write here, so nobody else can leave the compiled files for the next start.
    compiling = (str(interpreter), "-m", "compileall", "-q", "-x", r"\.venv", ".")
    try:
        for argv in ((str(python), "-m", "venv", str(directory / ".venv")), install, compiling):
            if argv is install:
                share_packages(like, directory)
            runner.run(Command(argv, cwd=directory, env=environment, timeout=PIP_SECONDS), log)
    except (CommandFailed, TimedOut) as failure:
        raise HostProblem(
            "update.cannot-install",
            f"The new version's Python packages could not be installed: {failure.message}",
            f"{UNTOUCHED} The log says more; look whether this host reaches its package index, and try again.",
        ) from failure


def share_packages(old: Path, new: Path) -> bool:
    """Where both versions ask for exactly the same packages, the old one's are linked into the new environment; whether
    that was so. (pip and compileall replace files, they never write into one.)"""
    sources = list((old / ".venv" / "lib").glob("python3.*/site-packages"))
    targets = list((new / ".venv" / "lib").glob("python3.*/site-packages"))
    same = (old / "requirements.txt").read_bytes() == (new / "requirements.txt").read_bytes()
    if not same or len(sources) != 1 or [found.parent.name for found in sources] != [t.parent.name for t in targets]:
        return False
    remove_tree(targets[0])
    shutil.copytree(sources[0], targets[0], symlinks=True, copy_function=os.link)
    for program in (old / ".venv" / "bin").iterdir():
        beside = new / ".venv" / "bin" / program.name
        if not beside.exists() and not program.is_symlink():
            beside.write_bytes(program.read_bytes().replace(str(old).encode(), str(new).encode()))
            beside.chmod(0o755)
    return True


def prune(place: Place, keep: set[str], kept: int = KEPT) -> list[str]:
    """Remove all but the newest ``kept`` releases; those in ``keep`` (full SHAs) stay whatever their age."""
    found = [directory for directory in place.releases.iterdir() if directory.is_dir() and not directory.is_symlink()]
    found.sort(key=_made_at, reverse=True)
    protected = [directory for directory in found if directory in {place.release(sha) for sha in keep}]
    others = [directory for directory in found if directory not in protected]
    removed = others[max(0, kept - len(protected)) :]
    for directory in removed:
        remove_tree(directory)
    return [directory.name for directory in removed]


def _made_at(directory: Path) -> float:
    file = directory / version_file.NAME
    return file.stat().st_mtime if file.exists() else 0.0  # half made: the first to go
