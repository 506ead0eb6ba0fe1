"""A DNS server over UDP and TCP whose records and faults change while it runs.

It plays both parts: asked for recursion it is the resolver, which follows CNAMEs; asked without, the zone's own server.
Each can be made to say something else ("recursive", "authoritative"), as happens while caches run out.

    with DnsServer() as dns:
        dns.zone("example.com")
        dns.set("shop.example.com", "A", "203.0.113.5")
        dns.behave("slow.example.com", "silent")

As a process of its own: ``python -m tests.integration.dns_server --port 5353 --control 8055``, then
``POST /set {"name", "type", "values", "ttl"?, "view"?}``, ``POST /behave {"name", "what", "view"?}``,
``POST /zone {"name", "server"?}``, ``POST /clear {"name"?}``; ``GET /`` tells everything, also what was asked.
"""

from __future__ import annotations

import argparse
import json
import socketserver
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

VIEWS = ("recursive", "authoritative")
LONGEST_CHAIN = 16
# What a name can do instead of answering. "truncate": UDP says that it did not fit; TCP answers. "lame": the zone's
# own server knows nothing of the zone. "bogus": a resolver that finds a wrong DNSSEC signature says SERVFAIL,
# unless it is asked not to check.
FAULTS = ("nxdomain", "servfail", "refused", "silent", "truncate", "lame", "bogus", "")


class DnsServer:
    """``port`` 0: one that is free, on UDP and TCP alike. Everything may be called from any thread."""

    def __init__(self, port: int = 0, address: str = "127.0.0.1") -> None:
        self.lock = threading.RLock()
        self.queries: list[tuple[str, str, str]] = []  # view, name, type
        self.clear()
        self.udp, self.tcp = self._bind(address, port)
        self.address, self.port = address, int(self.udp.server_address[1])
        self.at = f"{address}:{self.port}"
        for server in (self.udp, self.tcp):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def zone(self, name: str, server: str | None = None, address: str = "127.0.0.1") -> None:
        """Make ``name`` a zone of its own, served from ``address``: SOA, NS, and the address of the server."""
        server = server or f"ns1.{name}"
        self.set(name, "SOA", f"{server}. hostmaster.{name}. 1 3600 600 86400 300")
        self.set(name, "NS", f"{server}.")
        if address:
            self.set(server, "A", address)

    def set(self, name: str, type: str, *values: str, ttl: int = 300, view: str = "") -> None:
        """The records of that name and type, in place of those that there are; none: take them away."""
        with self.lock:
            for one in _views(view):
                self.sequences.pop((one, _key(name), type), None)
                self.records[one][_key(name)][type] = (ttl, tuple(values))
                if not values:
                    del self.records[one][_key(name)][type]
                if not self.records[one][_key(name)]:
                    del self.records[one][_key(name)]

    def alternate(self, name: str, type: str, *values: str, ttl: int = 300, view: str = "") -> None:
        """Another one of the values at each look, round and round."""
        with self.lock:
            for one in _views(view):
                self.set(name, type, values[0], ttl=ttl, view=one)
                self.sequences[one, _key(name), type] = list(values)

    def behave(self, name: str, what: str, view: str = "") -> None:
        """One of FAULTS for everything at that name and below it; "": answer again."""
        if what not in FAULTS:
            raise ValueError(f"{what!r} is none of {FAULTS}")
        with self.lock:
            for one in _views(view):
                self.faults[one, _key(name)] = what

    def clear(self, name: str = "") -> None:
        """Forget everything, or everything of that very name."""
        with self.lock:
            if not name:
                self.records: dict[str, dict[str, dict[str, tuple[int, tuple[str, ...]]]]] = {
                    view: defaultdict(dict) for view in VIEWS
                }
                self.faults: dict[tuple[str, str], str] = {}
                self.sequences: dict[tuple[str, str, str], list[str]] = {}
                return
            for view in VIEWS:
                self.records[view].pop(_key(name), None)
                self.faults.pop((view, _key(name)), None)

    def asked(self, name: str, type: str, view: str = "") -> int:
        """How often it was asked for that."""
        with self.lock:
            return sum(query in [(one, _key(name), type) for one in _views(view)] for query in self.queries)

    def close(self) -> None:
        for server in (self.udp, self.tcp):
            server.shutdown()
            server.server_close()

    def __enter__(self) -> DnsServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def answer(self, wire: bytes, *, over_udp: bool) -> bytes | None:
        """The response to one query, or None for silence."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        question = query.question[0]
        name, kind = _key(question.name.to_text()), dns.rdatatype.to_text(question.rdtype)
        view = "recursive" if query.flags & dns.flags.RD else "authoritative"
        response = dns.message.make_response(query, recursion_available=view == "recursive")
        with self.lock:
            self.queries.append((view, name, kind))
            fault = self._fault(view, name)
            if fault == "silent":
                return None
            if fault == "truncate" and over_udp:
                response.flags |= dns.flags.TC
                return response.to_wire()
            if fault == "bogus" and view == "recursive" and not query.flags & dns.flags.CD:
                response.set_rcode(dns.rcode.SERVFAIL)
                return response.to_wire()
            if fault in ("servfail", "refused", "lame"):
                response.set_rcode(dns.rcode.REFUSED if fault == "lame" else dns.rcode.from_text(fault))
                return response.to_wire()
            if view == "authoritative":
                response.flags |= dns.flags.AA
            if fault == "nxdomain":
                response.set_rcode(dns.rcode.NXDOMAIN)
            else:
                self._fill(response, view, name, kind)
            if not response.answer and (soa := self._soa(view, name)):
                response.authority.append(soa)
        return response.to_wire()

    def _fill(self, response: dns.message.Message, view: str, name: str, type: str) -> None:
        seen: list[str] = []
        while True:
            found = self._at(view, name)
            if found is None:
                response.set_rcode(dns.rcode.NOERROR if self._has_below(view, name) else dns.rcode.NXDOMAIN)
                return
            source, types = found
            if type in types or "CNAME" not in types:
                if type in types:
                    response.answer.append(self._rrset(view, name, source, type))
                return
            if name in seen or len(seen) > LONGEST_CHAIN:
                response.answer.clear()
                response.set_rcode(dns.rcode.SERVFAIL)  # as resolvers do with a loop
                return
            alias = self._rrset(view, name, source, "CNAME")
            response.answer.append(alias)
            seen.append(name)
            name = _key(alias[0].to_text())
            if view == "authoritative" and self._soa(view, name) is None:
                return  # of a zone that it does not serve
            if view == "authoritative" and name in seen:
                return

    def _at(self, view: str, name: str) -> tuple[str, dict[str, tuple[int, tuple[str, ...]]]] | None:
        """The records at a name, and the name that has them: itself, or a wildcard above it (RFC 4592)."""
        records = self.records[view]
        if name in records:
            return name, records[name]
        labels = name.split(".")
        for depth in range(1, len(labels)):
            if (wildcard := ".".join(["*", *labels[depth:]])) in records:
                return wildcard, records[wildcard]
            if ".".join(labels[depth:]) in records:
                return None
        return None

    def _rrset(self, view: str, name: str, source: str, type: str) -> dns.rrset.RRset:
        ttl, values = self.records[view][source][type]
        if turns := self.sequences.get((view, source, type)):
            values = (turns[0],)
            turns.append(turns.pop(0))
        return dns.rrset.from_text(f"{name}.", ttl, "IN", type, *values)

    def _has_below(self, view: str, name: str) -> bool:
        return any(other.endswith(f".{name}") for other in self.records[view])

    def _soa(self, view: str, name: str) -> dns.rrset.RRset | None:
        for candidate in _ancestors(name):
            if "SOA" in self.records[view].get(candidate, {}):
                return self._rrset(view, candidate, candidate, "SOA")
        return None

    def _fault(self, view: str, name: str) -> str:
        return next((self.faults[view, above] for above in _ancestors(name) if (view, above) in self.faults), "")

    def _bind(self, address: str, port: int) -> tuple[socketserver.BaseServer, socketserver.BaseServer]:
        for _ in range(50):
            udp = _server(socketserver.ThreadingUDPServer, (address, port), _over_udp(self))
            try:
                return udp, _server(socketserver.ThreadingTCPServer, udp.server_address, _over_tcp(self))
            except OSError:
                udp.server_close()
                if port:
                    raise
        raise OSError("no port is free for both UDP and TCP")


def _over_udp(owner: DnsServer) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, socket = self.request
            if response := owner.answer(data, over_udp=True):
                socket.sendto(response, self.client_address)

    return Handler


def _over_tcp(owner: DnsServer) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        timeout = 30

        def handle(self) -> None:
            while len(prefix := self.rfile.read(2)) == 2:
                response = owner.answer(self.rfile.read(struct.unpack("!H", prefix)[0]), over_udp=False)
                if response is None:
                    return
                self.wfile.write(struct.pack("!H", len(response)) + response)

    return Handler


def _server(kind: Any, address: Any, handler: type[socketserver.BaseRequestHandler]) -> socketserver.BaseServer:
    class Server(kind):  # type: ignore[misc]
        daemon_threads = True
        allow_reuse_address = True
        block_on_close = False

        def handle_error(self, *_: object) -> None: ...

    server: socketserver.BaseServer = Server(address, handler)
    return server


def _key(name: str) -> str:
    return name.rstrip(".").lower()


def _views(view: str) -> Iterable[str]:
    return (view,) if view else VIEWS


def _ancestors(name: str) -> Iterable[str]:
    labels = name.split(".")
    return (".".join(labels[start:]) for start in range(len(labels)))


class _Control(BaseHTTPRequestHandler):
    dns: DnsServer

    def do_GET(self) -> None:
        with self.dns.lock:
            self._reply(200, {"records": self.dns.records, "queries": self.dns.queries, "port": self.dns.port})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        verbs = {"/set": self._set, "/behave": self.dns.behave, "/zone": self.dns.zone, "/clear": self.dns.clear}
        try:
            verbs[self.path](**asked)
        except (KeyError, TypeError, ValueError) as error:
            self._reply(400, {"error": repr(error)})
        else:
            self._reply(200, {})

    def _set(self, name: str, type: str, values: list[str], ttl: int = 300, view: str = "") -> None:
        self.dns.set(name, type, *values, ttl=ttl, view=view)

    def _reply(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=5353)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--control", type=int, required=True, help="Port of the control, on 127.0.0.1.")
    options = parser.parse_args()
    with DnsServer(options.port, options.address) as server:
        control = ThreadingHTTPServer(("127.0.0.1", options.control), type("Control", (_Control,), {"dns": server}))
        print(f"DNS on {server.at}, control on 127.0.0.1:{options.control}", flush=True)
        control.serve_forever()


if __name__ == "__main__":
    main()
