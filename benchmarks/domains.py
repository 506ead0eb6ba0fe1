"""What many names cost: a switch, a change of names and a new certificate on an Nginx with 500 deployments and 1,000
names, each with HTTPS, beside one with 5 and 10; and what it costs that certificates are read at each handshake.

``python -m benchmarks.domains``: the medians of ``--rounds``.
"""

from __future__ import annotations

import argparse
import hashlib
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.switch import cpu_seconds
from benchmarks.switching.host import PrivateNginx, Release, nginx_binary
from benchmarks.table import table
from infrastructure.certificates.pem import Pair, read_pair
from infrastructure.nginx import config
from infrastructure.nginx.master import accepting_workers
from infrastructure.routing import Host, Route
from tests.certificates import Authority, pem

SIZES = (5, 500)
HANDSHAKES = 2_000


class Machine:
    """An Nginx with so many deployments of two names; all of them lead to one small app."""

    def __init__(self, nginx: PrivateNginx, release: Release, size: int) -> None:
        self.nginx, self.router, self.size = nginx, nginx.router, size
        self.authority = Authority()
        self.routes = [self.route(number, release.upstream) for number in range(1, size + 1)]
        for route in self.routes:
            self.router.certificates.install(route.certificate, self.pair(route))
        self.router.apply(self.routes)
        for route in self.routes:
            self.router.switch(route.deployment_id, "blue", 1)
        self.tries = 1

    @staticmethod
    def route(number: int, upstream: str) -> Route:
        names = tuple(Host(f"{kind}.site-{number}.example.com", https=True) for kind in ("www", "shop"))
        return Route(number, f"site-{number}", names, upstream, upstream, certificate=f"deployment-{number}")

    def pair(self, route: Route) -> Pair:
        issued = self.authority.issue(*(host.name for host in route.hosts))
        return read_pair(issued.chain_pem, issued.key_pem)

    def render(self) -> None:
        config.site_config(
            self.router.prefix, self.routes[0], logs=self.router.logs_dir, listening=self.router.listening()
        )

    def same(self) -> None:
        self.router.apply([self.routes[0]])

    def switch(self) -> None:
        self.tries += 1
        self.router.switch(1, ("blue", "green")[self.tries % 2], self.tries)
        if not self.router.confirm(self.routes[0], self.tries, "/"):
            raise RuntimeError("The switch was not seen through Nginx.")

    def change(self) -> None:
        """Another name of one deployment: rendered, tested, reloaded, and seen to be in force."""
        self.tries += 1
        route = self.routes[0]
        more = Host(f"more-{self.tries}.site-1.example.com", https=True)
        self.router.apply([replace(route, hosts=(*route.hosts, more))])

    def certificate(self, pair: Pair) -> None:
        self.router.certificates.install("deployment-1", pair)
        if self.handshake() != pair.fingerprint:
            raise RuntimeError("Another certificate was served.")

    def handshake(self) -> str:
        """The fingerprint of the certificate that a visitor is shown, and accepts."""
        context = ssl.create_default_context(cadata=pem(self.authority.root).decode())
        with (
            socket.create_connection(("127.0.0.1", self.nginx.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="www.site-1.example.com") as connection,
        ):
            return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()

    def read_at_reload(self) -> None:
        """The usual way: the certificates' paths are literal, so that Nginx reads them all when it (re)loads."""
        texts = {}
        for route in self.routes:
            path = self.router.prefix.site(route.deployment_id)
            folder = self.router.prefix.certificates / route.certificate / "current"
            texts[path] = path.read_text().replace("$bakery_certificate/", f"{folder}/")
        with self.router.applier.lock():
            self.router.applier.replace(texts)

    def change_read_at_reload(self) -> None:
        self.tries += 1
        path = self.router.prefix.site(1)
        with self.router.applier.lock():
            self.router.applier.replace({path: f"{path.read_text()}# {self.tries}\n"})

    def memory(self) -> float:
        pid = self.router.master.pid() or 0
        texts = [Path(f"/proc/{each}/smaps_rollup").read_text() for each in (pid, *accepting_workers(pid))]
        return sum(int(text.partition("\nPss:")[2].split()[0]) for text in texts) / 1024

    def handshakes(self) -> tuple[float, float]:
        """Per second, with four clients on the same cores; and Nginx's CPU time for each, in microseconds."""
        pid = self.router.master.pid()
        workers = accepting_workers(pid) if pid else set()
        used, began = cpu_seconds(workers), time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: self.handshake(), range(HANDSHAKES)))
        seconds = time.monotonic() - began
        return HANDSHAKES / seconds, (cpu_seconds(workers) - used) / HANDSHAKES * 1e6


def timed(what: Callable[[], object], rounds: int) -> float:
    """The median, in milliseconds."""
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        what()
        took.append((time.monotonic() - began) * 1000)
    return median(took)


def measure(size: int, rounds: int) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    with tempfile.TemporaryDirectory(prefix="bakery-domains-") as name:
        Path(name).chmod(0o711)
        nginx, release = PrivateNginx(Path(name)), Release("app")
        try:
            nginx.start()
            release.start()
            machine = Machine(nginx, release, size)
            pairs = [machine.pair(machine.routes[0]) for _ in range(rounds)]
            found = {
                "switch: rename, seen through Nginx": timed(machine.switch, 4 * rounds),
                "a deploy's look at its vhost: nothing to do": timed(machine.same, rounds),
                "  of which rendering": timed(machine.render, rounds),
                "a name more: render, test, reload, in force": timed(machine.change, rounds),
                "a new certificate, served": timed(lambda: machine.certificate(pairs.pop()), rounds),
            }
            found["Nginx's memory, MiB (PSS of master and workers)"] = machine.memory()
            speeds = {"read at each handshake (Bakery)": machine.handshakes()}
            machine.read_at_reload()
            speeds["read at reload"] = machine.handshakes()
            found["a name more, certificates read at reload"] = timed(machine.change_read_at_reload, rounds)
            return found, speeds
        finally:
            nginx.stop()
            release.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if nginx_binary() is None:
        print("There is no Nginx on this machine.", file=sys.stderr)
        return 2
    results = {size: measure(size, options.rounds) for size in SIZES}
    few, many = (results[size][0] for size in SIZES)
    head = ("ms, median", *(f"{size} deployments, {2 * size:,} names" for size in SIZES), "ratio")
    rows = [(what, f"{few[what]:.1f}", f"{many[what]:.1f}", f"{many[what] / few[what]:.1f}") for what in few]
    print(table([head, *rows]))
    print()
    head = (f"certificates of {SIZES[-1]} deployments", "handshakes/s", "Nginx's CPU per handshake")
    speeds = results[SIZES[-1]][1]
    print(table([head, *((way, f"{speed:,.0f}", f"{cpu:.0f} µs") for way, (speed, cpu) in speeds.items())]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
