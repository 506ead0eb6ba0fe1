"""How quickly a line of an application reaches browsers, and whether all of them do.

    python -m benchmarks.logs [--viewers 10] [--rate 1000] [--seconds 20]

Needs a running instance (quickstart). An application's log file is written; the instance's collector, PostgreSQL, Redis
and daphne carry it to websockets, which note when each line came. The baseline, measured in the same run on the same
machine, is the least that could do it: a process that polls the file and sends what is new to raw websockets, with
nothing stored, masked, searched or resumed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import websockets

BURST = 300_000
WAITING = "-1"  # the number of lines that only keep the log open: no process is seen to write it
TEXT = " GET /items/42 200 an application says something of the usual length"


@dataclass
class Target:
    """Where viewers connect. ``framed``: Bakery's JSON frames with acknowledgements; else bare text."""

    url: str
    headers: dict[str, str]
    origin: str | None
    framed: bool


def view(target: Target, viewers: int, expected: int, ready: Any, results: Queue[Any]) -> None:
    results.put(asyncio.run(view_all(target, viewers, expected, ready)))


async def view_all(target: Target, viewers: int, expected: int, ready: Any) -> list[tuple[list[int], list[float]]]:
    barrier = asyncio.Event()
    tasks = [asyncio.create_task(view_one(target, expected, barrier)) for _ in range(viewers)]
    await asyncio.sleep(1.0)  # all of them connected
    ready.set()
    barrier.set()
    return await asyncio.gather(*tasks)


async def view_one(target: Target, expected: int, barrier: asyncio.Event) -> tuple[list[int], list[float]]:
    """Numbers of the lines in the order in which they came, and their latencies in ms."""
    numbers: list[int] = []
    latencies: list[float] = []
    connection = websockets.connect(
        target.url, additional_headers=target.headers, origin=target.origin, max_size=None, compression=None
    )
    async with connection as socket:
        await barrier.wait()
        while len(numbers) < expected:
            try:
                text = str(await asyncio.wait_for(socket.recv(), 30))
            except (asyncio.TimeoutError, websockets.ConnectionClosed):
                break
            now = time.time_ns()
            if target.framed:
                frame = json.loads(text)
                if frame["type"] != "chunk":
                    continue
                await socket.send(json.dumps({"type": "ack", "seq": frame["seq"]}))
                text = frame["text"]
            for line in text.split("\n")[:-1]:
                stamp, number, _ = line.split(" ", 2)
                if number == WAITING:
                    continue
                numbers.append(int(number))
                latencies.append((now - int(stamp)) / 1e6)
    return numbers, latencies


def write_steadily(path: Path, rate: int, seconds: int) -> int:
    """``rate`` lines a second, in bursts of a hundredth."""
    total = rate * seconds
    started = time.monotonic()
    with path.open("ab", buffering=0) as file:
        written = 0
        while written < total:
            due = min(total, int((time.monotonic() - started) * rate))
            if due > written:
                stamp = time.time_ns()
                file.write("".join(f"{stamp} {n}{TEXT}\n" for n in range(written, due)).encode())
                written = due
            time.sleep(0.01)
    return total


def write_at_once(path: Path) -> int:
    stamp = time.time_ns()
    with path.open("ab") as file:
        for start in range(0, BURST, 10_000):
            file.write("".join(f"{stamp} {n}{TEXT}\n" for n in range(start, start + 10_000)).encode())
    return BURST


def measure(target: Target, viewers: int, expected: int, write: Any) -> tuple[list[Any], float]:
    context = multiprocessing.get_context("spawn")
    results, ready = context.Queue(), context.Event()
    process = context.Process(target=view, args=(target, viewers, expected, ready, results), daemon=True)
    process.start()
    if not ready.wait(30):
        sys.exit("The viewers could not connect.")
    started = time.monotonic()
    write()
    seen = results.get(timeout=180)
    seconds = time.monotonic() - started
    process.join(10)
    return seen, seconds


# ----- the baseline -----


def tail_to_websockets(path: str, port: int) -> None:
    asyncio.run(serve_tail(Path(path), port))


async def serve_tail(path: Path, port: int) -> None:
    async def serve(socket: Any) -> None:
        with path.open("rb") as file, contextlib.suppress(websockets.ConnectionClosed):
            held = b""
            while True:
                data = held + file.read(32 * 1024)
                whole, newline, held = data.rpartition(b"\n")
                if newline:
                    await socket.send((whole + newline).decode())
                else:
                    await asyncio.sleep(0.01)

    async with websockets.serve(serve, "127.0.0.1", port, compression=None):
        await asyncio.Future()


@contextlib.contextmanager
def baseline(directory: str) -> Any:
    path = Path(directory) / f"{uuid.uuid4().hex}.log"
    path.touch()
    port = 4179
    process = multiprocessing.get_context("spawn").Process(
        target=tail_to_websockets, args=(str(path), port), daemon=True
    )
    process.start()
    time.sleep(1.5)
    try:
        yield path, Target(f"ws://127.0.0.1:{port}/", {}, None, framed=False)
    finally:
        process.terminate()
        process.join()


# ----- Bakery -----


@contextlib.contextmanager
def bakery() -> Any:
    """A deployment of the benchmark's own, whose release counts as running in a slot; deleted afterwards."""
    from django.conf import settings

    from accounts.models import User
    from bakery.roles import Role
    from deployments.logs.store import open_stream
    from deployments.models import Deployment, Release, Runtime, Slot, StreamKind
    from deployments.services.snapshot import Snapshot

    name = f"benchmark-{uuid.uuid4().hex[:8]}"
    user = User.objects.create_user(f"{name}@example.com", None, role=Role.VIEWER)
    deployment = Deployment.objects.create(name=name, repository="https://example.com/benchmark.git", stopped=True)
    try:
        snapshot = Snapshot.of(deployment).to_secret()
        release = Release.objects.create(
            deployment=deployment, number=1, ref="main", runtime=Runtime.BUN, state="retained", snapshot=snapshot
        )
        path = settings.BAKERY.logs_dir / "processes" / f"release-{release.pk}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        port = 64_000 + release.pk % 1000
        address = f"10.254.{release.pk // 250 % 250}.{release.pk % 250 + 1}"
        Slot.objects.create(deployment=deployment, name="blue", port=port, address=address, release=release)
        stream = open_stream(release, StreamKind.PROCESS)
        base = settings.BAKERY.base_url
        target = Target(
            f"{base.replace('http', 'ws', 1)}/ws/streams/{stream.pk}/", {"Cookie": cookie(user)}, base, framed=True
        )
        over = threading.Event()
        keeping_open = threading.Thread(target=keep_open, args=(path, over))
        keeping_open.start()
        time.sleep(3)  # the collector looks for releases every second
        try:
            yield path, target
        finally:
            over.set()
            keeping_open.join()
            path.unlink()
    finally:
        deployment.delete()
        user.delete()


def keep_open(path: Path, over: threading.Event) -> None:
    while not over.wait(1.0):
        with path.open("ab", buffering=0) as file:
            file.write(f"0 {WAITING} {TEXT}\n".encode())


def cookie(user: Any) -> str:
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[-1])
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


# ----- the table -----


def steady(place: Any, options: argparse.Namespace) -> str:
    with place as (path, target):
        total = options.rate * options.seconds
        writing: list[threading.Thread] = []

        def write() -> None:
            writing.append(threading.Thread(target=write_steadily, args=(path, options.rate, options.seconds)))
            writing[0].start()

        seen, _ = measure(target, options.viewers, total, write)
        writing[0].join()
    everything = sorted(latency for _, latencies in seen for latency in latencies)
    whole = sum(numbers == list(range(total)) for numbers, _ in seen)
    if not everything:
        return "nothing came"
    p50, p99 = everything[len(everything) // 2], everything[int(len(everything) * 0.99)]
    times = f"p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   most {everything[-1]:6.1f} ms"
    return f"{times}   whole for {whole} of {len(seen)} viewers"


def burst(place: Any) -> str:
    with place as (path, target):
        seen, seconds = measure(target, 1, BURST, lambda: write_at_once(path))
        numbers = seen[0][0]
        text = f"{BURST:,} lines in {seconds:5.2f} s ({BURST / seconds:9,.0f} lines/s), {verdict(numbers)}"
        if target.framed:
            again, opened = measure(target, 1, BURST, lambda: None)
            text += f"; read again from the database in {opened:.2f} s, {verdict(again[0][0])}"
    return text


def verdict(numbers: list[int]) -> str:
    lost, doubled = BURST - len(set(numbers)), len(numbers) - len(set(numbers))
    return "none lost, none doubled, in order" if numbers == list(range(BURST)) else f"{lost} lost, {doubled} doubled"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--rate", type=int, default=1000, help="lines per second")
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bakery.settings")
    import django

    django.setup()
    with tempfile.TemporaryDirectory() as directory:
        print(f"From the line's write to the viewer's frame: {options.rate:,} lines/s, {options.viewers} viewers")
        print(f"  file → websocket   {steady(baseline(directory), options)}", flush=True)
        print(f"  Bakery             {steady(bakery(), options)}", flush=True)
        print("A burst, from its first write to the last line in the viewer")
        print(f"  file → websocket   {burst(baseline(directory))}", flush=True)
        print(f"  Bakery             {burst(bakery())}", flush=True)


if __name__ == "__main__":
    main()
