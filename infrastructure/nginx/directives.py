"""Reads what ``nginx -T`` prints: which file says what. Enough of the grammar to find a directive, not to judge it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEADING = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
TOKEN = re.compile(r"""\s+|\#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[;{}]|(?:\\.|\$\{|[^\s;{}\\])+""", re.DOTALL)


@dataclass(frozen=True)
class Directive:
    file: Path
    name: str
    arguments: tuple[str, ...]

    @property
    def value(self) -> str:
        return " ".join(self.arguments)


def directives(dump: str) -> list[Directive]:
    """Of every file in the dump, in its order. Blocks count as directives of their own."""
    pieces = HEADING.split(dump)
    return [
        found for path, text in zip(pieces[1::2], pieces[2::2], strict=True) for found in _in_file(Path(path), text)
    ]


def in_text(text: str) -> list[Directive]:
    return list(_in_file(Path(), text))


def _in_file(file: Path, text: str) -> Iterator[Directive]:
    words: list[str] = []
    for match in TOKEN.finditer(text):
        token = match[0]
        if token.isspace() or token.startswith("#"):
            continue
        if token in (";", "{", "}"):
            if words:
                yield Directive(file, words[0], tuple(words[1:]))
            words = []
        else:
            words.append(token[1:-1] if token[0] in "\"'" else token)
