"""What visitors lose when all of Bakery switches: ``python -m benchmarks.switches [--switches 100] [--runtime bun]``.

A deployment is rolled back and forth between two releases, each time through page, queue, worker, runtime and Nginx:
the old release is started, probed, switched to, and the one before it drained and ended. All the while clients ask
without a pause, with keep-alive, without it, and by POST. Every connection that ends early and every answer that is no
2xx is lost. First the same is done to a deployment that stops before it starts, which shows that losses are seen.
``benchmarks.switch`` measures the switch alone, against other ways to do it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import websockets

from benchmarks.clicking import Person
from benchmarks.instance import running_instance, say
from benchmarks.sample import files
from benchmarks.switching.load import Load, read_answer
from benchmarks.table import table
from tests.instance import Instance
from tests.integration.apps import AppRepository
from tests.integration.driving import Driven

NAIVE_SWITCHES = 3
LONG_SECONDS = 10.0


@dataclass
class Outcome:
    name: str
    load: Load
    switches: int
    last_old_answers: list[float] = field(default_factory=list)  # seconds after the switch began
    seconds: float = 0.0


def make(instance: Instance, directory: Path, name: str, *, docker: bool, blue_green: bool) -> Person:
    """A deployment with two releases, v1 and v2, of which the second serves."""
    repository = AppRepository(directory / name, files("v1", docker=docker))
    driven = Driven(instance, name, repository)
    driven.create(drain_seconds=30, watch_seconds=0, blue_green=str(blue_green).lower())
    person = Person(instance, driven)
    person.ended(person.click("deploy"))
    repository.commit(files("v2", docker=docker))
    person.ended(person.click("deploy"))
    return person


def roll_back(person: Person) -> float:
    """To the release before, until the task has ended; when the switch began, on the clock of the load."""
    task = person.click("rollback")
    ended = person.ended(task)
    began = next(step.began for step in person.steps(task) if step.phase == "switch")
    return float(ended["created_at"].timestamp()) + began - (time.time() - time.monotonic())


async def under_load(person: Person, name: str, switches: int, clients: int) -> Outcome:
    host = f"{person.driven.name}.localhost"
    outcome = Outcome(name, Load(person.instance.http_port, host, clients), switches)
    serving, waiting = await asyncio.to_thread(person.serving), ""
    waiting = "v1" if serving == "v2" else "v2"
    began = time.monotonic()
    outcome.load.start()
    try:
        for number in range(1, switches + 1):
            switched = await asyncio.to_thread(roll_back, person)
            await asyncio.sleep(0.05)  # answers that are on their way to the clients
            outcome.last_old_answers.append(max(0.0, outcome.load.last_answer.get(serving, 0.0) - switched))
            serving, waiting = waiting, serving
            if number % 10 == 0:
                say(f"{name}: {number} of {switches}, {outcome.load.requests:,} requests, {outcome.load.lost} lost")
    finally:
        await outcome.load.stop()
    outcome.seconds = time.monotonic() - began
    return outcome


async def long_ones(person: Person) -> tuple[bool, bool]:
    """Whether a request and a websocket that were open before a switch are finished by the release they began with."""
    port, host = person.instance.http_port, f"{person.driven.name}.localhost"
    old = await asyncio.to_thread(person.serving)
    opened = asyncio.Event()
    both = (
        asyncio.create_task(_long_request(port, host, old)),
        asyncio.create_task(_websocket(port, host, old, opened)),
    )
    await asyncio.wait_for(opened.wait(), 10)
    await asyncio.sleep(0.2)  # the long request is with the app as well
    await asyncio.to_thread(roll_back, person)
    request, websocket = await asyncio.gather(*both)
    return request, websocket


async def _long_request(port: int, host: str, release: str) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        path = f"/slow?seconds={LONG_SECONDS}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        status, answered_by, _ = await read_answer(reader)
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return False
    return status == 200 and answered_by == release


async def _websocket(port: int, host: str, release: str, opened: asyncio.Event) -> bool:
    """Says something every half second, and hears it again, until its time is over."""
    try:
        async with websockets.connect(f"ws://{host}:{port}/socket", host="127.0.0.1", port=port) as socket:
            opened.set()
            until = time.monotonic() + LONG_SECONDS
            while time.monotonic() < until:
                await socket.send("tick")
                if await asyncio.wait_for(socket.recv(), 5) != "tick":
                    return False
                await asyncio.sleep(0.5)
            return socket.response is not None and socket.response.headers.get("X-App") == release
    except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
        return False


def report(outcomes: list[Outcome], long: tuple[bool, bool]) -> str:
    losses = [("switched through all of Bakery", "switches", "client", "requests", "lost", "how")]
    for outcome in outcomes:
        for kind, count in outcome.load.counts.items():
            how = ", ".join(f"{n} {reason}" for reason, n in count.reasons.most_common(2))
            losses.append((outcome.name, str(outcome.switches), kind, f"{count.requests:,}", f"{count.lost:,}", how))
    real = outcomes[-1]
    last, seconds = real.last_old_answers, real.seconds / real.switches
    facts = [
        ("blue-green", ""),
        ("last answer of the old release after the switch began, median", f"{median(last) * 1000:.0f} ms"),
        ("the same, longest", f"{max(last) * 1000:.0f} ms"),
        ("one rollback under load, until the old release has ended", f"{seconds:.2f} s"),
        (f"a request of {LONG_SECONDS:g} s that was open before a switch", "finished" if long[0] else "lost"),
        ("a websocket that was open before a switch", "finished" if long[1] else "lost"),
    ]
    return f"{table(losses)}\n\n{table(facts)}"


def run(runtime: str, switches: int, clients: int) -> tuple[list[Outcome], tuple[bool, bool]]:
    docker = runtime == "docker"
    with running_instance(docker=docker) as instance, tempfile.TemporaryDirectory(prefix="bakery-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        naive = make(instance, directory, "naive", docker=docker, blue_green=False)
        outcomes = [asyncio.run(under_load(naive, f"{runtime}: stop, then start", NAIVE_SWITCHES, clients))]
        person = make(instance, directory, "shop", docker=docker, blue_green=True)
        outcomes.append(asyncio.run(under_load(person, f"{runtime}: blue-green", switches, clients)))
        long = asyncio.run(long_ones(person))
        for each in (naive, person):
            each.ended(each.click("delete"))
    return outcomes, long


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--clients", type=int, default=2, help="connections of each kind of client (default 2)")
    parser.add_argument("--runtime", choices=("bun", "docker"), default="bun")
    options = parser.parse_args()
    outcomes, long = run(options.runtime, options.switches, options.clients)
    print(report(outcomes, long))
    if not outcomes[0].load.lost:
        print("The naive way lost nothing, so nothing is shown by the other.", file=sys.stderr)
        return 2
    return 1 if outcomes[-1].load.lost or not all(long) else 0


if __name__ == "__main__":
    sys.exit(main())
