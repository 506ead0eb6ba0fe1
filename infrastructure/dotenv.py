"""Files of settings, one ``NAME=value`` a line: the environment of a Bakery, with its secrets."""

from __future__ import annotations

import os
from pathlib import Path

HEADING = "# The environment of this Bakery. It holds secrets. See .env.example for what each line means.\n"


def read(file: Path) -> dict[str, str]:
    """The values of an environment file; {} when there is none."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def write(file: Path, values: dict[str, str]) -> None:
    """Atomically, 0600 from its first byte."""
    beside = file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        out.write(HEADING + "".join(f"{name}={value}\n" for name, value in values.items()))
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)


def edited(text: str, values: dict[str, str]) -> str:
    """``text`` with these values: in the lines that name them, or at the end. Everything else stays as it is."""
    left = dict(values)
    lines = []
    for line in text.splitlines():
        name = line.split("=", 1)[0].strip()
        is_setting = "=" in line and not line.lstrip().startswith("#")
        lines.append(f"{name}={left.pop(name)}" if is_setting and name in left else line)
    return "".join(f"{line}\n" for line in [*lines, *(f"{name}={value}" for name, value in left.items())])
