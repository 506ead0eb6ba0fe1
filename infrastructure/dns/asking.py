"""One question to one DNS server, over UDP and, where the answer does not fit, TCP. Never raises or waits for long."""

from __future__ import annotations

import time
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.rdtypes.ANY.SOA

from infrastructure.dns.answers import Answer, Record, Trouble

ONE_TRY = 2.0  # seconds; a datagram may be lost, so there is a second one
TRIES = 2
TROUBLES = {
    dns.rcode.NXDOMAIN: Trouble.NXDOMAIN,
    dns.rcode.SERVFAIL: Trouble.SERVFAIL,
    dns.rcode.REFUSED: Trouble.REFUSED,
    dns.rcode.NOTAUTH: Trouble.REFUSED,
    dns.rcode.NOTIMP: Trouble.REFUSED,
    dns.rcode.FORMERR: Trouble.MALFORMED,
}


@dataclass(frozen=True)
class Server:
    address: str
    port: int = 53
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.address

    @classmethod
    def parse(cls, text: str) -> Server:
        """``address``, ``address:port``, ``[address]:port``.

        >>> Server.parse("1.1.1.1"), Server.parse("[::1]:5353")
        (Server(address='1.1.1.1', port=53, name=''), Server(address='::1', port=5353, name=''))
        """
        if text.startswith("["):
            address, _, port = text[1:].partition("]")
            return cls(address, int(port.removeprefix(":") or 53))
        if text.count(":") == 1:
            address, _, port = text.partition(":")
            return cls(address, int(port))
        return cls(text)


class Asker:
    """Asks until ``seconds`` are over, all questions together."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()

    def ask(self, server: Server, name: str, type: str, *, recursive: bool = True) -> Answer:
        answer = self._ask(server, name, type, recursive=recursive)
        if recursive and answer.trouble is Trouble.SERVFAIL:
            # Without validation it may be had: then it is its signature that is wrong (RFC 4035, 3.2.2).
            unchecked = self._ask(server, name, type, recursive=True, checking=False)
            if unchecked.records:
                return Answer(type, trouble=Trouble.BOGUS)
        if not recursive and answer.trouble is Trouble.NONE and not answer.authoritative:
            return Answer(type, trouble=Trouble.LAME)
        return answer

    def _ask(self, server: Server, name: str, type: str, *, recursive: bool, checking: bool = True) -> Answer:
        try:
            query = dns.message.make_query(name, type, use_edns=True, payload=1232)
        except dns.exception.DNSException:
            return Answer(type, trouble=Trouble.NXDOMAIN)  # too long to be asked for at all
        if not recursive:
            query.flags &= ~dns.flags.RD
        if not checking:
            query.flags |= dns.flags.CD
        trouble = Trouble.TIMEOUT
        for _ in range(TRIES):
            if self.left <= 0:
                break
            try:
                response, _ = dns.query.udp_with_fallback(
                    query,
                    server.address,
                    timeout=min(ONE_TRY, self.left),
                    port=server.port,
                    ignore_unexpected=True,
                    ignore_errors=True,
                )
            except dns.exception.Timeout:
                continue
            except (OSError, EOFError):
                trouble = Trouble.UNREACHABLE
                continue
            except (dns.exception.DNSException, ValueError):
                return Answer(type, trouble=Trouble.MALFORMED)
            return _read(response, name, type)
        return Answer(type, trouble=trouble)


def _read(response: dns.message.Message, name: str, type: str) -> Answer:
    authoritative = bool(response.flags & dns.flags.AA)
    code = response.rcode()
    if code != dns.rcode.NOERROR and code != dns.rcode.NXDOMAIN:
        return Answer(type, trouble=TROUBLES.get(code, Trouble.SERVFAIL))
    found = [
        Record(dns.rdatatype.to_text(rrset.rdtype), _plain(str(rrset.name)), _plain(value.to_text()), rrset.ttl)
        for rrset in response.answer
        if dns.rdatatype.to_text(rrset.rdtype) in (type, "CNAME")
        for value in rrset
    ]
    chain, loops = chained(found, name, type)
    if loops:
        return Answer(type, chain, Trouble.LOOP, authoritative=authoritative)
    trouble = TROUBLES.get(code, Trouble.NONE)
    return Answer(type, chain, trouble, _negative_ttl(response), authoritative)


def chained(records: list[Record], name: str, type: str) -> tuple[tuple[Record, ...], bool]:
    """The records from ``name`` through its aliases to those of ``type``, and whether the aliases go in a circle."""
    chain: list[Record] = []
    at, seen = _plain(name), set[str]()
    while at not in seen:
        seen.add(at)
        here = [record for record in records if record.name == at]
        alias = next((record for record in here if record.type == "CNAME"), None)
        if alias is None or type == "CNAME":
            return (*chain, *(record for record in here if record.type == type)), False
        chain.append(alias)
        at = alias.value
    return tuple(chain), True


def _negative_ttl(response: dns.message.Message) -> int:
    for rrset in response.authority:
        for soa in rrset:
            if isinstance(soa, dns.rdtypes.ANY.SOA.SOA):
                return min(rrset.ttl, soa.minimum)
    return 0


def _plain(text: str) -> str:
    """Names without their last dot, in small letters; the text of other records as it is."""
    return text[:-1].lower() if text.endswith(".") and " " not in text else text
