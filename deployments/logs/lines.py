"""Bytes in, lines as they are stored out: UTF-8, no NUL, progress folded, secrets masked, at most 16 KiB each."""

from __future__ import annotations

import codecs

from infrastructure.secret import Masker

LONGEST_LINE = 16 * 1024  # bytes, with its newline
# So much of an unfinished line is held, so that a secret across the place where it is cut is still seen whole
# (an environment value has at most 128 KiB, three times that when it is URL-quoted).
LONGEST_HELD = 512 * 1024  # characters


class LineAssembler:
    """Not thread-safe. ``feed`` returns the lines that became complete, each ended by ``\\n``."""

    def __init__(self, masker: Masker) -> None:
        self.masker = masker
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held: list[str] = []  # the pieces of the unfinished line
        self._held_length = 0
        self._overflow = 0  # characters of it that were too many to hold

    @property
    def holds_text(self) -> bool:
        return bool(self._held)

    def feed(self, data: bytes) -> list[str]:
        text = self._decode(data).replace("\0", "")
        complete, newline, rest = text.rpartition("\n")
        if not newline:
            self._hold(text)
            return []
        first, *others = complete.split("\n")
        self._hold(first)
        lines = self._masked([self._take_held(), *others])
        self._hold(rest)
        return lines

    def finish(self) -> list[str]:
        """The last line, which no newline ended."""
        self._hold(self._decode(b"", final=True).replace("\0", ""))
        return self._masked([self._take_held()]) if self.holds_text else []

    def _hold(self, text: str) -> None:
        if not text:
            return
        if "\r" in text:
            # A progress bar may paint over one line for hours: only its last state matters.
            text = folded("".join([*self._held, text]), still_open=True)
            self._held, self._held_length, self._overflow = [], 0, 0
        kept = text[: LONGEST_HELD - self._held_length]
        self._overflow += len(text) - len(kept)
        if kept:
            self._held.append(kept)
            self._held_length += len(kept)

    def _take_held(self) -> str:
        line = "".join(self._held)
        if self._overflow:
            # Far beyond what is kept of the line: only the number of missing characters can be seen of it.
            line += " " * min(self._overflow, LONGEST_HELD)
        self._held, self._held_length, self._overflow = [], 0, 0
        return line

    def _masked(self, lines: list[str]) -> list[str]:
        lines = [folded(line) if "\r" in line else line for line in lines]
        block = "\n".join(lines)
        # Most output holds no secret: one look at all of it is several times quicker than one per line.
        if self.masker.mask(block) != block:
            lines = [self.masker.mask(line).replace("\n", " ") for line in lines]
        return [shortened(line) + "\n" for line in lines]


def folded(line: str, *, still_open: bool = False) -> str:
    """What a terminal would show of a line that was painted over with ``\\r``: the last text that is not empty.

    ``still_open``: more of the line may come, so a ``\\r`` at its end is kept.
    """
    *before, last = line.split("\r")
    if last:
        return last
    shown = next((part for part in reversed(before) if part), "")
    return f"{shown}\r" if still_open and shown else shown


def shortened(line: str) -> str:
    """At most ``LONGEST_LINE`` bytes, with its newline; says how much is missing."""
    if 4 * len(line) < LONGEST_LINE:
        return line
    raw = line.encode()
    if len(raw) < LONGEST_LINE:
        return line
    head = raw[: LONGEST_LINE - 64].decode("utf-8", "ignore")
    return f"{head} … [{len(line) - len(head):,} more characters cut]"
