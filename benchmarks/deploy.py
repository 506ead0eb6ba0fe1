"""Bakery's own share of a deploy and of a rollback: ``python -m benchmarks.deploy [--rounds 5] [--runtime bun]``.

In turns, on one machine: the bare commands by hand (clone, build, start, first answer), and a deploy of the
same commit through Bakery, from the click to the first answer through Nginx. The difference is Bakery's own share:
queue, lease, records, isolation, probe, switch. Then rollbacks: cold (the old release was ended) and warm (it was not
yet). Medians of all rounds; compare the lines of one run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from subprocess import DEVNULL

from benchmarks.clicking import GIVE_UP, LOOK_EVERY, Person, Step, answering
from benchmarks.instance import running_instance, say
from benchmarks.sample import files
from benchmarks.table import table
from tests.instance import Instance
from tests.integration.apps import AppRepository
from tests.integration.driving import Driven
from tests.plan import free_port

START = "start until it answers"
Times = dict[str, list[float]]


@contextmanager
def timed(times: Times, name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    times.setdefault(name, []).append(time.monotonic() - began)


@contextmanager
def clone(url: str, times: Times) -> Iterator[Path]:
    """In a directory that was empty."""
    with tempfile.TemporaryDirectory(prefix="bakery-bench-hand-") as name:
        with timed(times, "git clone"):
            run("git", "clone", "--quiet", "--depth", "1", url, "app", cwd=Path(name))
        yield Path(name) / "app"


def run(*argv: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    subprocess.run(argv, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, check=True, timeout=120)


def bun_by_hand(bun: str, url: str, version: str, times: Times) -> None:
    """What a person would type."""
    port = free_port()
    with clone(url, times) as app:
        env = {"PATH": f"{Path(bun).parent}:{os.environ['PATH']}", "HOME": str(app.parent), "PORT": str(port)}
        with timed(times, "bun install"):
            run(bun, "install", "--production", cwd=app, env=env)
        with timed(times, "bun run build"):
            run(bun, "run", "build", cwd=app, env=env)
        with timed(times, START):
            process = subprocess.Popen(
                [bun, "run", "start"], cwd=app, env={**os.environ, **env}, stdout=DEVNULL, stderr=DEVNULL
            )
            wait_until_answering(port, version)
        process.terminate()
        process.wait(10)


def docker_by_hand(_bun: str, url: str, version: str, times: Times) -> None:
    port, name = free_port(), "bakery-bench-hand"
    with clone(url, times) as app:
        with timed(times, "docker build"):
            run("docker", "build", "--quiet", "--tag", name, ".", cwd=app)
        with timed(times, START):
            options = ("--detach", "--init", "--network", "host", "--env", f"PORT={port}", "--name", name)
            run("docker", "run", *options, name, cwd=app)
            wait_until_answering(port, version)
        run("docker", "rm", "--force", name, cwd=app)


def wait_until_answering(port: int, version: str) -> None:
    deadline = time.monotonic() + GIVE_UP
    while answering(port, "localhost") != version:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{version} does not answer on port {port}")
        time.sleep(LOOK_EVERY)


class Rounds:
    def __init__(self, instance: Instance, directory: Path, *, docker: bool) -> None:
        self.bun, self.docker = instance.env["BAKERY_BUN"], docker
        self.repository = AppRepository(directory / "app", files("v0", docker=docker))
        driven = Driven(instance, "sample", self.repository)
        driven.create(drain_seconds=5, watch_seconds=0)
        self.person = Person(instance, driven)
        self.times: Times = {}
        self.phases: dict[str, list[tuple[float, float]]] = {}

    def deploy(self, version: str) -> None:
        self.repository.commit(files(version, docker=self.docker))
        by_hand = docker_by_hand if self.docker else bun_by_hand
        by_hand(self.bun, self.repository.url, version, self.times)
        with timed(self.times, "deploy"):
            task = self.person.click("deploy")
            self.person.wait_until_serving(version)
        self.person.ended(task)
        for name, pair in by_phase(self.person.steps(task)).items():
            self.phases.setdefault(name, []).append(pair)

    def rollback(self, name: str, version: str) -> None:
        with timed(self.times, name):
            task = self.person.click("rollback")
            self.person.wait_until_serving(version)
        self.person.ended(task)

    def rollback_warm(self, new: str, old: str) -> None:
        """While the new release is still watched, as somebody does who sees that it is wrong."""
        self.repository.commit(files(new, docker=self.docker))
        task = self.person.click("deploy")
        self.person.wait_until_serving(new)
        self.rollback("rollback, warm", old)
        self.person.ended(task)

    def run(self, rounds: int) -> None:
        self.person.change(watch_seconds=0)
        self.deploy("warm-up")
        self.times, self.phases = {}, {}
        for number in range(1, rounds + 1):
            say(f"Round {number} of {rounds} …")
            self.person.change(watch_seconds=0)
            before = self.person.serving()
            self.deploy(f"v{number}")
            self.rollback("rollback, cold", before)
            self.person.change(watch_seconds=60)
            self.rollback_warm(f"v{number}-wrong", before)


def by_phase(steps: list[Step]) -> dict[str, tuple[float, float]]:
    """Seconds of each phase, and of the commands in it; before the first: until a worker began."""
    found = {"queue and lease": (steps[0].began, 0.0)}
    for phase in (step for step in steps if step.argv is None):
        commands = [step.seconds for step in steps if step.argv and step.phase == phase.phase]
        found[phase.phase] = (phase.seconds, sum(commands))
    return found


def report(rounds: Rounds, count: int) -> str:
    middle = {name: median(values) for name, values in rounds.times.items()}
    bare = [name for name in middle if name != "deploy" and not name.startswith("rollback")]
    hand, app = sum(middle[name] for name in bare), middle[START]
    lines = [("by hand", "s"), *((name, f"{middle[name]:.2f}") for name in bare), ("together", f"{hand:.2f}")]
    deploys = [
        ("from the click to the first answer through Nginx", "s", "Bakery's share", "target"),
        ("deploy", f"{middle['deploy']:.2f}", f"{middle['deploy'] - hand:.2f}", "< 1"),
        ("rollback, cold", f"{middle['rollback, cold']:.2f}", f"{middle['rollback, cold'] - app:.2f}", "< 1"),
        ("rollback, warm", f"{middle['rollback, warm']:.2f}", f"{middle['rollback, warm']:.2f}", "< 0.5"),
    ]
    phases = [("phases of the deploy", "s", "of it commands")]
    for name, pairs in rounds.phases.items():
        whole, commands = (median(pair[n] for pair in pairs) for n in (0, 1))
        phases.append((name, f"{whole:.2f}", f"{commands:.2f}" if commands else ""))
    runtime = "docker" if rounds.docker else "bun"
    tables = "\n\n".join(table(rows) for rows in (lines, deploys, phases))
    return f"{runtime}, medians of {count} rounds, {host_load()}.\n\n{tables}"


def host_load() -> str:
    """Others who use the same cores make every figure larger, ours more than the bare one's."""
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runtime", choices=("bun", "docker"), default="bun")
    options = parser.parse_args()
    docker = options.runtime == "docker"
    with running_instance(docker=docker) as instance, tempfile.TemporaryDirectory(prefix="bakery-bench-") as directory:
        Path(directory).chmod(0o755)
        rounds = Rounds(instance, Path(directory), docker=docker)
        rounds.run(options.rounds)
    print(report(rounds, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
