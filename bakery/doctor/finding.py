from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum


class Verdict(str, Enum):
    OK = "ok"
    WARNING = "warning"  # something optional is not there, or will hurt later
    WRONG = "wrong"  # Bakery cannot do its work like this


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``mend`` is what to do; it is empty when nothing is to be done."""

    subject: str
    verdict: Verdict
    detail: str
    version: str = ""
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        return {**asdict(self), "verdict": self.verdict.value}


def ok(subject: str, detail: str, version: str = "") -> Finding:
    return Finding(subject, Verdict.OK, detail, version)


def warning(subject: str, detail: str, mend: str, version: str = "") -> Finding:
    return Finding(subject, Verdict.WARNING, detail, version, mend)


def wrong(subject: str, detail: str, mend: str, version: str = "") -> Finding:
    return Finding(subject, Verdict.WRONG, detail, version, mend)
