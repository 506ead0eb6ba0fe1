"""What a unit sees of the file system: of Bakery's directories its own parts alone. systemd.exec(5).

Each hidden directory is an empty one to the unit, in which the paths that it needs lie as they do on the host.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Setting = tuple[str, str]
# Of these every unit has its own, empty ones: what is left in them ends with it, and counts as its memory.
SHARED_MEMORY = ("TemporaryFileSystem", "/dev/shm:mode=1777")  # noqa: S108 - this is what we cover
NEVER = ("InaccessiblePaths", "-/run/docker.sock -/run/containerd -/run/systemd/private -/run/user")


def view(hidden: Iterable[Path], writable: Iterable[Path], readable: Iterable[Path]) -> list[Setting]:
    """Settings of [Service]. Paths that are not there are left out by systemd."""
    covered = sorted({path for path in hidden if path != Path("/")})
    covered = [path for path in covered if not any(other in path.parents for other in covered)]

    def is_covered(path: Path) -> bool:
        return any(cover in path.parents for cover in covered)

    settings = [("TemporaryFileSystem", f"{_word(path)}:ro") for path in covered]
    settings += [
        ("BindPaths" if is_covered(path) else "ReadWritePaths", f"-{_word(path)}") for path in dict.fromkeys(writable)
    ]
    settings += [("BindReadOnlyPaths", f"-{_word(path)}") for path in dict.fromkeys(readable) if is_covered(path)]
    return [*settings, SHARED_MEMORY, NEVER]


def can_be_hidden(path: Path) -> bool:
    """Bind mounts are written “source:destination”; a path with such a character in it is left as it is."""
    return not any(character.isspace() or character in ":\\\"'%$" for character in str(path))


def _word(path: Path) -> str:
    """ReadWritePaths= alone may get a path with special characters, systemd.syntax(7)."""
    text = str(path).replace("%", "%%")
    return text if can_be_hidden(path) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
