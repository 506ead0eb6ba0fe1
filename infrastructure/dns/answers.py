"""What DNS servers were seen to say of a name: plain values, which ``judging`` reads and a report keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Trouble(str, Enum):
    """Why a server gave no records. The value is how it reads after the server's name."""

    NONE = ""
    NXDOMAIN = "says that there is no such name"
    SERVFAIL = "cannot answer (SERVFAIL)"
    BOGUS = "refuses the answer, because its DNSSEC signature is not valid"
    REFUSED = "refuses to answer"
    LAME = "does not serve this zone"
    TIMEOUT = "does not answer in time"
    UNREACHABLE = "cannot be reached"
    MALFORMED = "answers with nonsense"
    LOOP = "follows an alias that leads back to itself"


# Nothing is known of the name when a server says one of these: it says more of the way there.
NO_ANSWER = frozenset({Trouble.TIMEOUT, Trouble.UNREACHABLE, Trouble.MALFORMED, Trouble.REFUSED, Trouble.LAME})


@dataclass(frozen=True)
class Record:
    type: str
    name: str
    value: str
    ttl: int


@dataclass(frozen=True)
class Answer:
    """What one server said to one question. ``records`` in the order of the chain of aliases."""

    type: str
    records: tuple[Record, ...] = ()
    trouble: Trouble = Trouble.NONE
    wait: int = 0  # seconds for which a resolver remembers that there is nothing (RFC 2308)
    authoritative: bool = False

    @property
    def values(self) -> tuple[str, ...]:
        """Of the type that was asked for, at the end of the chain."""
        return tuple(record.value for record in self.records if record.type == self.type)

    @property
    def ttl(self) -> int:
        """How long a resolver may go on saying this."""
        return min((record.ttl for record in self.records), default=self.wait)


@dataclass(frozen=True)
class Look:
    """One server's answers for A and AAAA."""

    server: str  # as people know it: 1.1.1.1, ns1.example.com
    of_the_zone: bool  # one of the zone's own servers, else a resolver
    a: Answer
    aaaa: Answer

    @property
    def trouble(self) -> Trouble:
        return self.a.trouble or self.aaaa.trouble

    @property
    def addresses(self) -> bool:
        return bool(self.a.values or self.aaaa.values)

    @property
    def fails(self) -> bool:
        return self.trouble in (Trouble.SERVFAIL, Trouble.BOGUS) and not self.addresses

    def answer(self, type: str) -> Answer:
        return self.a if type == "A" else self.aaaa

    @property
    def answered(self) -> bool:
        """Whether anything was learnt of the name."""
        return self.a.trouble not in NO_ANSWER and self.aaaa.trouble not in NO_ANSWER

    @property
    def aliases(self) -> tuple[Record, ...]:
        return tuple(record for record in self.a.records or self.aaaa.records if record.type == "CNAME")


@dataclass(frozen=True)
class Caa:
    """The CAA records that count for a name (RFC 8659): the nearest set from the name upwards."""

    at: str = ""  # whose records they are; "": there are none at all
    records: tuple[Record, ...] = ()
    trouble: Trouble = Trouble.NONE


@dataclass(frozen=True)
class Observation:
    name: str  # what was asked for: below a wildcard, some name
    zone: str  # "": no server of a zone was found
    looks: tuple[Look, ...]
    caa: Caa = Caa()

    @property
    def resolvers(self) -> list[Look]:
        return [look for look in self.looks if not look.of_the_zone]

    @property
    def zone_servers(self) -> list[Look]:
        return [look for look in self.looks if look.of_the_zone]
