"""A change as Nginx would have it, beside what is in use: for ``nginx -t`` to look at, and nobody else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from infrastructure.errors import HostProblem
from infrastructure.files import make_directory, read_if_there, write_atomically
from infrastructure.nginx.prefix import Prefix
from infrastructure.nginx.system_prefix import SystemPrefix

Texts = Mapping[Path, str | None]  # None: no such file
PLAIN_NAME = re.compile(r"[A-Za-z0-9._+@:-]+")
INCLUDES = {
    "conf.d": re.compile(r"^([ \t]*)include[ \t]+/etc/nginx/conf\.d/\*\.conf[ \t]*;", re.MULTILINE),
    "modules-enabled": re.compile(r"^([ \t]*)include[ \t]+/etc/nginx/modules-enabled/\*\.conf[ \t]*;", re.MULTILINE),
}


def write_candidate(prefix: Prefix, changed: Texts) -> None:
    """Make ``prefix.candidate`` what the main file would be with the change; nothing that is in use is touched."""
    folder = prefix.candidate_sites
    shutil.rmtree(folder, ignore_errors=True)
    make_directory(folder)

    def text_of(path: Path) -> str:
        return (changed[path] if path in changed else read_if_there(path)) or ""

    moved = {f"{prefix.sites}/": f"{folder}/"}
    if any(path.parent == prefix.conf for path in changed):
        moved[f"{prefix.conf}/"] = f"{folder}/conf/"
        shutil.copytree(prefix.conf, folder / "conf")
    sites = {path for path in (*prefix.sites.glob("*.conf"), *changed) if path.parent == prefix.sites}
    for path in sites:
        if path in changed or len(moved) > 1:
            if changed.get(path, "") is not None:
                (folder / path.name).write_text(_moved(text_of(path), moved))
        else:
            (folder / path.name).symlink_to(path)
    for path in changed:
        if path.parent == prefix.conf:
            (folder / "conf" / path.name).write_text(text_of(path))
    if isinstance(prefix, SystemPrefix):
        _write_system(prefix, text_of, changed, moved)
    else:
        write_atomically(prefix.candidate, _moved(text_of(prefix.configuration), moved), 0o600)


def _write_system(prefix: SystemPrefix, text_of: Callable[[Path], str], changed: Texts, moved: dict[str, str]) -> None:
    """The main file of the machine's Nginx, with the directories named in it that Bakery has a file in."""
    main = text_of(prefix.configuration)
    for part in (prefix.main_part, prefix.http_part):
        there = part.exists() if part not in changed else changed[part] is not None
        beside = prefix.candidate_sites / f"{part.parent.name}.part"
        if there:
            beside.write_text(_moved(text_of(part), moved))
        main = included_one_by_one(main, part, beside if there else None)
    write_atomically(prefix.candidate, main, 0o600)


def included_one_by_one(main: str, ours: Path, beside: Path | None) -> str:
    """``main`` with the include of ``ours``' directory replaced by its files, in the order in which Nginx takes them;
    in place of ``ours`` stands ``beside``, or nothing."""
    pattern = INCLUDES[ours.parent.name]
    if beside is None and not ours.exists():
        return main
    if not pattern.search(main):
        raise no_include(ours)
    names = sorted({*(path.name for path in ours.parent.glob("*.conf")), *([ours.name] if beside else [])})
    paths = [beside if name == ours.name else ours.parent / name for name in names if not name.startswith(".")]
    for path in paths:
        if path and not PLAIN_NAME.fullmatch(path.name):
            raise HostProblem(
                "nginx.file-name", f"{path} has a name that Nginx may read as a pattern.", "Give the file a plain name."
            )
    lines = [f"include {path};" for path in paths if path]
    return pattern.sub(lambda match: "\n".join(match[1] + line for line in lines), main, count=1)


def no_include(ours: Path) -> HostProblem:
    return HostProblem(
        "nginx.no-include",
        f"/etc/nginx/nginx.conf does not include {ours.parent}/*.conf, so what Bakery writes there is never read.",
        f"Put “include {ours.parent}/*.conf;” into its http block, run nginx -t, and try again.",
    )


def _moved(text: str, places: Mapping[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text
