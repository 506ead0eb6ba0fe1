"""What commands take apart before a service sees it."""

from __future__ import annotations

from collections.abc import Iterable

from bakery.management.base import Usage

TRUE = frozenset({"true", "yes", "on", "1"})
FALSE = frozenset({"false", "no", "off", "0"})


def assignments(items: Iterable[str], *, what: str = "K=V") -> dict[str, str]:
    """``["A=1", "B=x=y"]`` as a dict. The value goes on to the end, further equals signs and all.

    >>> assignments(["A=1", "B=x=y", "C="])
    {'A': '1', 'B': 'x=y', 'C': ''}
    """
    found: dict[str, str] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise Usage(f"“{item[:60]}” is not {what}.")
        if name in found:
            raise Usage(f"{name} is given twice.")
        found[name] = value
    return found


def truth(text: str) -> bool:
    """
    >>> truth("yes"), truth("Off")
    (True, False)
    """
    lowered = text.strip().lower()
    if lowered not in TRUE | FALSE:
        raise Usage(f"“{text}” is neither true nor false.")
    return lowered in TRUE
