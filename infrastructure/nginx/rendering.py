"""Templates of Nginx's configuration, and what may be put into them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

TEMPLATES = Path(__file__).parent
SAFE = re.compile(r"[A-Za-z0-9 ._:/@+-]*")  # what may be put into a template: nothing that ends or opens a directive
SAFE_NAMES = re.compile(r"[A-Za-z0-9 .:\[\]*-]*")  # server names alone: an include would take brackets for a pattern
HEADING = "# Written by Bakery: changes are lost. See infrastructure/nginx/.\n"
PLACE = re.compile(r"\{\{(\w+)\}\}")
PART = re.compile(r"^( *)\{\{> (\w+)\}\}\n", re.MULTILINE)
PRINTABLE = re.compile(r"[\x20-\x7e]*")


class Quoted(str):
    """Any text as one argument of a directive. ``$`` would begin a variable, and nothing takes that from it."""

    __slots__ = ()

    def __new__(cls, text: str) -> Quoted:
        if not PRINTABLE.fullmatch(text) or "$" in text:
            raise ValueError(f"This cannot stand in Nginx's configuration: {text[:80]!r}")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return super().__new__(cls, f'"{escaped}"')


def render(template: str, parts: Mapping[str, str] | None = None, **values: object) -> str:
    """The template with ``{{name}}`` replaced; a value that could break out of its place is a ``ValueError``.
    ``parts``, in place of ``{{> name}}`` and as far indented, are what this function has returned before."""

    def value(match: re.Match[str]) -> str:
        given = values[match.group(1)]
        if isinstance(given, Quoted):
            return given
        text = str(given)
        if not (SAFE_NAMES if match.group(1) == "names" else SAFE).fullmatch(text):
            raise ValueError(f"{match.group(1)} cannot stand in Nginx's configuration: {text[:80]!r}")
        return text

    pieces = PART.split((TEMPLATES / template).read_text())
    # PART has two groups: text, indentation, name, text … Values are put into the template's own text alone.
    done = [PLACE.sub(value, pieces[0])]
    for indent, name, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        done.append("".join(f"{indent}{line}\n" for line in (parts or {})[name].splitlines()))
        done.append(PLACE.sub(value, text))
    return "".join(done)
