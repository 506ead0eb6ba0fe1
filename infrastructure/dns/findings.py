"""What is said of a name's DNS, what to change in its zone, and the server to which the name should lead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """``error`` keeps the name from being right; a ``warning`` is to be looked at; ``info`` explains."""

    id: str
    severity: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Change:
    """One line to change in the zone. ``to``: the new value, for "change" and "add"."""

    action: str  # add, change, delete
    type: str
    host: str
    value: str = ""
    to: str = ""


@dataclass(frozen=True)
class Here:
    """This server as the name should lead to it."""

    ipv4: str = ""
    ipv6: str = ""
    own: frozenset[str] = frozenset()  # what its interfaces have: of these it is certain who answers
    ca: str = ""  # the issuer in CAA records, such as letsencrypt.org; "": not known, or none is needed
    port: int = 80

    def of(self, type: str) -> str:
        return self.ipv4 if type == "A" else self.ipv6

    @property
    def is_known(self) -> bool:
        return bool(self.ipv4 or self.ipv6)

    @property
    def addresses(self) -> frozenset[str]:
        return self.own | {self.ipv4, self.ipv6} - {""}
