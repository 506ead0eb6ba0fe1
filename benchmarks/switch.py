"""What a deploy costs the visitors: ``python -m benchmarks.switch [--switches 100]``.

Side by side in one run, on one private Nginx each: reload and stop at once (which shows that losses are seen), reload
and wait, and Bakery's way, a link that is renamed. Every connection that ends early and every answer that is no 2xx
is lost. The numbers are of this machine, whose cores clients, Nginx and app share: compare the lines, not the runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.switching.host import PrivateNginx, free_port, nginx_binary
from benchmarks.switching.measure import Measured, measure
from benchmarks.switching.ways import HOST, Naive, ReloadAndWait, Renamed, Way
from infrastructure.nginx.master import Master, accepting_workers
from infrastructure.routing import Host, Route

WRK_SECONDS = 5
# An app that does nothing, so that what the hops cost is seen.
NOTHING = "server {{ listen 127.0.0.1:{port}; keepalive_requests 1000000; return 200 'ok'; }}\n"
ONE_HOP = """upstream nothing {{ server 127.0.0.1:{port}; keepalive 32; }}
server {{
    include listen.conf; server_name direct.localhost; set $bakery_deployment 2; access_log {log} bakery;
    location / {{ proxy_pass http://nothing; proxy_set_header Connection ""; proxy_set_header Host $http_host; }}
}}
"""


def run_way(kind: str, switches: int, clients: int, long_seconds: float) -> Measured:
    with tempfile.TemporaryDirectory(prefix="bakery-switch-") as name:
        Path(name).chmod(0o711)
        nginx, ports = PrivateNginx(Path(name)).start(), (free_port(), free_port())
        ways: dict[str, Way] = {
            "naive": Naive(nginx),
            "wait": ReloadAndWait(nginx),
            "rename": Renamed(nginx, ports),
        }
        try:
            return asyncio.run(
                measure(ways[kind], nginx.http_port, ports, switches, clients=clients, long_seconds=long_seconds)
            )
        finally:
            nginx.stop()


@dataclass(frozen=True)
class Speed:
    requests_per_second: float
    cpu_microseconds: float  # of Nginx's workers, per request: steadier than the speed on a busy machine


def throughput() -> dict[str, Speed] | None:
    """What an app that does nothing costs over one hop, and over Bakery's two."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return None
    with tempfile.TemporaryDirectory(prefix="bakery-switch-") as name:
        Path(name).chmod(0o711)
        nginx, port = PrivateNginx(Path(name)).start(), free_port()
        router = nginx.router
        try:
            text = NOTHING.format(port=port) + ONE_HOP.format(port=port, log=router.logs_dir / "access.json")
            router.apply([Route(1, "shop", (Host(HOST),), f"127.0.0.1:{port}", "")])
            router.switch(1, "blue", 1)
            with router.applier.lock():
                router.applier.replace({router.prefix.sites / "direct.conf": text})
            url = f"http://127.0.0.1:{nginx.http_port}/"
            return {
                "one hop (no link to rename)": _wrk(wrk, "direct.localhost", url, router.master),
                "Bakery's two hops": _wrk(wrk, HOST, url, router.master),
            }
        finally:
            nginx.stop()


def _wrk(wrk: str, host: str, url: str, master: Master) -> Speed:
    workers = accepting_workers(master.wait_until_running())
    before = cpu_seconds(workers)
    argv = [wrk, "-t2", "-c16", f"-d{WRK_SECONDS}s", "-H", f"Host: {host}", url]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    speed, requests = re.search(r"Requests/sec:\s+([0-9.]+)", said), re.search(r"(\d+) requests in", said)
    if speed is None or requests is None or "Non-2xx" in said:
        raise RuntimeError(f"wrk: {said}")
    return Speed(float(speed[1]), (cpu_seconds(workers) - before) * 1e6 / int(requests[1]))


def cpu_seconds(pids: set[int]) -> float:
    """User and system time so far (proc(5), fields 14 and 15)."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def figures_of(measured: Measured) -> dict[str, object]:
    last, took = measured.last_old_answers or [0.0], measured.switch_seconds or [0.0]
    return {
        "way": measured.name,
        "clients": {
            kind: {"requests": count.requests, "lost": count.lost, "reasons": dict(count.reasons)}
            for kind, count in measured.load.counts.items()
        },
        "requests_per_second": round(measured.load.requests / measured.seconds),
        "last_old_answer_ms": {"median": round(median(last) * 1000, 1), "max": round(max(last) * 1000, 1)},
        "old_may_end_ms": {"median": round(median(took) * 1000, 1), "max": round(max(took) * 1000, 1)},
        "long_request_finished": measured.long_request_finished,
        "websocket_finished": measured.websocket_finished,
    }


def table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = (
            text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def report(results: list[Measured], speeds: dict[str, Speed] | None, switches: int, long_seconds: float) -> str:
    losses = [("way", "client", "requests", "lost", "how")]
    times = [("way", "requests/s", "last old answer", "old may end", f"{long_seconds:g} s request", "websocket")]
    for result in results:
        for kind, count in result.load.counts.items():
            how = ", ".join(f"{n} {reason}" for reason, n in count.reasons.most_common(2))
            losses.append((result.name, kind, f"{count.requests:,}", f"{count.lost:,}", how))
        last, took = result.last_old_answers or [0.0], result.switch_seconds or [0.0]
        times.append(
            (
                result.name,
                f"{result.load.requests / result.seconds:,.0f}",
                f"{median(last) * 1000:.0f} / {max(last) * 1000:.0f} ms",
                f"{median(took) * 1000:.0f} / {max(took) * 1000:.0f} ms",
                _finished(result.long_request_finished),
                _finished(result.websocket_finished),
            )
        )
    parts = [
        f"{switches} switches under load, each way on a fresh Nginx:\n\n{table(losses)}",
        f"Time since the switch began (median / longest), and what was open before one more switch:\n\n{table(times)}",
    ]
    if speeds is None:
        parts.append("wrk is not on this machine, so the price of the second hop was not measured.")
    else:
        best = max(speed.requests_per_second for speed in speeds.values())
        rows = [("an app that does nothing, wrk on 16 connections", "requests/s", "share", "Nginx's CPU per request")]
        for way, speed in speeds.items():
            share = f"{speed.requests_per_second / best:.0%}"
            rows.append((way, f"{speed.requests_per_second:,.0f}", share, f"{speed.cpu_microseconds:.0f} µs"))
        parts.append(table(rows))
    return "\n\n".join(parts)


def _finished(outcome: bool | None) -> str:
    return {None: "not tried", True: "finished", False: "lost"}[outcome]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--clients", type=int, default=4, help="connections of each kind of client (default 4)")
    parser.add_argument("--long", type=float, default=10.0, metavar="SECONDS", help="the long request (default 10)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if nginx_binary() is None:
        print("There is no Nginx on this machine.", file=sys.stderr)
        return 2
    results = []
    for kind in ("naive", "wait", "rename"):
        print(f"{kind}: {options.switches} switches …", file=sys.stderr)
        results.append(run_way(kind, options.switches, options.clients, options.long))
    speeds = throughput()
    if options.json:
        hops = {way: asdict(speed) for way, speed in (speeds or {}).items()}
        print(json.dumps({"ways": [figures_of(result) for result in results], "hops": hops}, indent=2))
    else:
        print(report(results, speeds, options.switches, options.long))
    return 1 if results[-1].load.lost else 0


if __name__ == "__main__":
    sys.exit(main())
