"""Folders, disk space, limits of the operating system."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path

from bakery.doctor.finding import Finding, ok, warning, wrong
from bakery.environment import Environment, env_file

LOW_BYTES, LITTLE_BYTES = 1024**3, 5 * 1024**3
FEW_FILES = 4096


def place_findings(bakery: Environment) -> list[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return [
        ok("Python", sys.executable, version),
        *folder_findings(bakery),
        _disk(bakery.data_dir),
        _files(),
        *_environment_file(bakery),
        _control_groups(),
    ]


def folder_findings(bakery: Environment) -> list[Finding]:
    folders = {
        "BAKERY_DATA_DIR": bakery.data_dir,
        "BAKERY_LOGS_DIR": bakery.logs_dir,
        "BAKERY_BUILDS_DIR": bakery.builds_dir,
    }
    return [_folder(name, folder) for name, folder in folders.items()]


def _folder(name: str, folder: Path) -> Finding:
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        return wrong(
            name, f"{folder} cannot be written to.", f"Give {existing} to the account that runs Bakery, or set {name}."
        )
    return ok(name, str(folder))


def _disk(data: Path) -> Finding:
    existing = next(part for part in (data, *data.parents) if part.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1024**3:.1f} GB free for {data}"
    if free < LOW_BYTES:
        return wrong(
            "Disk", detail, "Make room: delete deployments that nobody needs, old images, other programs' logs."
        )
    if free < LITTLE_BYTES:
        return warning("Disk", detail, "Make room before the next larger build.")
    return ok("Disk", detail)


def _files() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= hard < FEW_FILES:
        return warning("Open files", f"at most {hard} per process", "Raise the hard limit (ulimit -Hn) to 65536.")
    return ok("Open files", "no limit" if hard < 0 else f"up to {hard} per process")


def _environment_file(bakery: Environment) -> list[Finding]:
    """On a server the web process, which is not root, reads it by its group."""
    file = env_file()
    if file is None:
        return []
    mode = 0o640 if bakery.processes == "systemd" else 0o600
    if file.stat().st_mode & 0o777 & ~mode:
        return [wrong("Secrets", f"{file} can be read by other accounts.", f"chmod {mode:o} {file}")]
    return [ok("Secrets", f"{file} is {'root’s and Bakery’s group’s' if mode & 0o040 else 'its owner’s'} alone")]


def _control_groups() -> Finding:
    """Without a writable hierarchy, releases get rlimits instead of memory and CPU limits per process tree."""
    root = Path("/sys/fs/cgroup")
    candidates = (root / "cgroup.subtree_control", root / "memory" / "cgroup.procs")
    if any(path.exists() and os.access(path, os.W_OK) for path in candidates):
        return ok("Control groups", "limits hold for whole process trees", "2" if candidates[0].exists() else "1")
    return warning(
        "Control groups",
        "not writable: limits of Bun releases hold per process only",
        "Run Bakery as root, or have systemd delegate a control group to its account.",
    )
