"""Plain text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell, two spaces between them; the last one is not padded.

    >>> print(table(("NAME", "STATE"), [("shop", "live")]))
    NAME  STATE
    shop  live
    """
    cells = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def ago(seconds: float | None) -> str:
    """How long ago, in the largest unit that fits.

    >>> ago(4), ago(130), ago(7300), ago(200000), ago(None)
    ('4 s ago', '2 min ago', '2 h ago', '2 days ago', 'never')
    """
    if seconds is None:
        return "never"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size * (2 if unit == "days" else 1):
            return f"{int(seconds // size)} {unit} ago"
    return f"{max(0, int(seconds))} s ago"
