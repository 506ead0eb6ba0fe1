"""How a checkout becomes something that ``bun run start`` runs: plans as values."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from infrastructure.errors import Problem

LOCK_FILES = ("bun.lock", "bun.lockb")
DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "workspaces")
LARGEST_PACKAGE_JSON = 4 * 1024 * 1024


@dataclass(frozen=True)
class Package:
    """What matters of a package.json."""

    has_dependencies: bool
    scripts: frozenset[str]


@dataclass(frozen=True)
class Step:
    """One command of a build. ``shown`` is what stands in the log."""

    shown: str
    argv: tuple[str, ...]
    production: bool  # NODE_ENV=production; an install needs the tools that builds are made with


def read_package(directory: Path) -> Package | None:
    """The package.json in ``directory``; None: there is none."""
    try:
        # A symlink could lead out of the repository, and Bakery may read more than the deployment.
        handle = os.open(directory / "package.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(f"it is no plain file ({error.strerror})") from error
    with os.fdopen(handle, "rb") as file:
        text = file.read(LARGEST_PACKAGE_JSON + 1)
    if len(text) > LARGEST_PACKAGE_JSON:
        raise _unreadable("it has more than 4 MiB")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not valid JSON ({error})"[:200]) from error
    if not isinstance(content, dict):
        raise _unreadable("it does not hold an object")
    scripts = content.get("scripts")
    return Package(
        has_dependencies=any(content.get(key) for key in DEPENDENCIES),
        scripts=frozenset(scripts) if isinstance(scripts, dict) else frozenset(),
    )


def _unreadable(why: str) -> Problem:
    return Problem("build.package-json", f"package.json cannot be used: {why}.", "Mend it and push again.")


def check_start(package: Package | None, start_command: str) -> None:
    if start_command:
        return
    if package is None:
        raise Problem(
            "build.no-package-json",
            "The base directory has neither a Dockerfile nor a package.json.",
            "Add one of them, correct the base directory, or set a start command.",
        )
    if "start" not in package.scripts:
        raise Problem(
            "build.no-start-script",
            "package.json has no “start” script.",
            'Add one, such as "start": "bun server.ts", or set a start command in the settings.',
        )


def has_lock_file(directory: Path, source: Path) -> bool:
    """In a monorepo the lock file lies beside the workspaces' root, above the base directory."""
    between = [directory, *(parent for parent in directory.parents if source == parent or source in parent.parents)]
    return any((place / name).exists() for place in between for name in LOCK_FILES)


def steps(bun: str, package: Package | None, *, locked: bool, build_command: str) -> list[Step]:
    """What a build runs. A command of the user's own runs in Bun's shell, never in the host's."""
    plan: list[Step] = []
    if package and locked:
        plan.append(Step("bun install --frozen-lockfile", (bun, "install", "--frozen-lockfile"), production=False))
    elif package and package.has_dependencies:
        plan.append(Step("bun install", (bun, "install"), production=False))
    if build_command:
        plan.append(Step(build_command, (bun, "exec", build_command), production=True))
    elif package and "build" in package.scripts:
        plan.append(Step("bun run build", (bun, "run", "build"), production=True))
    return plan


def start_argv(bun: str, start_command: str) -> tuple[str, ...]:
    return (bun, "exec", start_command) if start_command else (bun, "run", "start")
