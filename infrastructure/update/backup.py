"""What an update keeps of the old version, and how it is put back. Each part can be put back again and again."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.files import make_directory, point_symlink, sync_directory, write_atomically
from infrastructure.postgres.dumps import drop_previous, dump, restore
from infrastructure.runner import Runner
from infrastructure.trees import remove_tree
from infrastructure.update.place import Place
from infrastructure.update.services import own_units

KEPT = 5
DATABASE, ENV, UNITS, MANIFEST, CONTENTS = "database.dump", "env", "units", "staticfiles.json", "contents.json"


def new_directory(place: Place, old: str) -> Path:
    # Where databases' backups are as well, with a mode of its own.
    place.backups.parent.mkdir(mode=0o700, exist_ok=True)
    make_directory(place.backups, 0o700)
    name = f"{datetime.now(timezone.utc):%Y%m%d-%H%M%S}-{old[:12]}"
    directory = place.backups / name
    make_directory(directory, 0o700)
    return directory


def save_files(place: Place, directory: Path) -> None:
    """``.env``, Bakery's own units, and the list of its static files."""
    _copy(place.env_file, directory / ENV)
    make_directory(directory / UNITS, 0o700)
    for unit in own_units(place.units):
        _copy(unit, directory / UNITS / unit.name)
    if place.static_manifest.exists():
        _copy(place.static_manifest, directory / MANIFEST)
    write_atomically(directory / CONTENTS, json.dumps({"link": str(place.current.readlink())}), 0o600)
    sync_directory(directory)


def save_database(place: Place, directory: Path, runner: Runner) -> None:
    dump(place.setting("DATABASE_URL"), directory / DATABASE, runner)


def put_back_link(place: Place, directory: Path) -> None:
    point_symlink(place.current, json.loads((directory / CONTENTS).read_text())["link"])


def put_back_files(place: Place, directory: Path) -> None:
    """Units of the new version alone go; the rest is as it was."""
    saved = {file.name: file for file in (directory / UNITS).iterdir()}
    for unit in own_units(place.units):
        if unit.name not in saved:
            unit.unlink()
    for name, file in saved.items():
        _replace(file, place.units / name)
    _replace(directory / ENV, place.env_file)
    if (directory / MANIFEST).exists():
        _replace(directory / MANIFEST, place.static_manifest)


def put_back_database(place: Place, directory: Path, runner: Runner) -> None:
    """In the place of the one that the new version may have changed, which is dropped."""
    file = directory / DATABASE
    if not file.exists():
        raise HostProblem("update.no-dump", f"The backup {file} is not there.", "See docs/operations.md, Updating.")
    url = place.setting("DATABASE_URL")
    drop_previous(url, restore(url, file, runner))


def prune(place: Place, kept: int = KEPT) -> list[str]:
    found = sorted((path for path in place.backups.iterdir() if path.is_dir()), reverse=True)
    for directory in found[kept:]:
        remove_tree(directory)
    return [directory.name for directory in found[kept:]]


def _copy(source: Path, target: Path) -> None:
    """With owner and mode: what is put back is as it was."""
    shutil.copy2(source, target)
    seen = source.stat()
    shutil.chown(target, seen.st_uid, seen.st_gid)


def _replace(source: Path, target: Path) -> None:
    """By one rename."""
    beside = target.with_name(f".{target.name}.put-back")
    _copy(source, beside)
    beside.replace(target)
    sync_directory(target.parent)
