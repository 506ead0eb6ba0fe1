"""What databases cost: how long one takes to be made, and how fast a large one is backed up and restored, beside bare
``pg_dump`` and ``pg_restore`` in the same run; what the worker takes of the memory meanwhile.

``python -m benchmarks.databases [--scale 67] [--rounds 3]``: scale 67 is 1 GB (pgbench). Medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from benchmarks.instance import running_instance, say
from benchmarks.memory import name_of, pss
from benchmarks.table import table
from infrastructure.postgres.streaming import COMPRESSION
from infrastructure.postgres.tools import find_tools, fitting
from infrastructure.quickstart import processes
from tests.instance import Instance

MIB = 1024 * 1024
WORKER = "worker-housekeeping"
# What a row's every byte goes into, whatever the order of the rows.
CHECKSUM = "SELECT count(*), sum(('x' || substr(md5(t::text), 1, 15))::bit(60)::bigint) FROM {} t"
PRELUDE = """
import json
from bakery.models import Task, TaskStep
from databases.models import Backup, Database
from databases.services.connection import url_of
from databases.services.provisioning import create_database
from databases.services.server import admin
"""
TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history")


class Bench:
    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.url = ""
        found = fitting(find_tools(instance.data_dir / "tools"), self._major())
        self.tools = next((tools for tools in found if (tools.bin / "pgbench").exists()), found[0])

    def _major(self) -> int:
        return int((self.instance.place.postgres / "PG_VERSION").read_text())

    def ask(self, code: str) -> Any:
        """What ``answer`` is after ``code`` has run inside of the instance."""
        program = f"{PRELUDE}\n{code}\nprint(json.dumps(answer))"
        return json.loads(self.instance.manage("shell", "-v", "0", "-c", program).stdout.strip().splitlines()[-1])

    def provisioned(self, name: str) -> float:
        """Seconds from the request to the end."""
        self.ask(f"answer = create_database('{name}', by=None).pk")
        return self.taken(f"Task.objects.filter(subject='{name}', kind='create-database')", "created_at")

    def taken(self, tasks: str, since: str = "started_at") -> float:
        """Seconds of the newest of these tasks, waited for."""
        while True:
            found = self.ask(
                f"t = {tasks}.order_by('-pk')[0]\n"
                f"answer = [t.state, t.error_message, (t.ended_at - t.{since}).total_seconds() if t.ended_at else None]"
            )
            if found[0] not in ("queued", "running"):
                assert found[0] == "succeeded", found
                return float(found[2])
            time.sleep(0.5)

    def phase(self, name: str) -> float:
        """Seconds of the newest step of this name."""
        return float(
            self.ask(
                f"s = TaskStep.objects.filter(phase='{name}', argv__isnull=True).latest('pk')\n"
                "answer = (s.ended_at - s.started_at).total_seconds()"
            )
        )

    def run(self, program: str, *arguments: str, database: str = "", url: str = "") -> float:
        """Seconds of one of PostgreSQL's programs, as the administrator, or as whom ``url`` names."""
        parts = urlsplit(url or self.instance.env["DATABASE_URL"])
        env = {
            "PGHOST": parts.hostname or "",
            "PGPORT": str(parts.port),
            "PGUSER": parts.username or "",
            "PGPASSWORD": parts.password or "",
            "PGDATABASE": database or "postgres",
            "PATH": os.environ["PATH"],
            **self.tools.environment(),
        }
        began = time.monotonic()
        subprocess.run([str(self.tools.bin / program), *arguments], env=env, check=True, capture_output=True)
        return time.monotonic() - began

    def checksums(self, database: str) -> list[str]:
        parts = urlsplit(self.instance.env["DATABASE_URL"])
        with psycopg.connect(parts._replace(path=f"/{database}").geturl()) as connection:
            queries = [CHECKSUM.format(name) for name in TABLES]
            return [str(connection.execute(query).fetchone()) for query in queries]  # type: ignore[call-overload]


class Memory:
    """The most that the worker takes while it is looked at, MiB of PSS and of RSS, and what it took before."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.before = self.most = pss(pid)
        self.most_rss = 0.0
        self._over = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, pss(self.pid))
            self.most_rss = max(self.most_rss, psutil.Process(self.pid).memory_info().rss / MIB)


def worker_of(instance: Instance) -> int:
    return next(found.pid for found in processes.of_instance(instance.place) if name_of(found.pid) == WORKER)


def measure(instance: Instance, scale: int, rounds: int) -> None:
    bench = Bench(instance)
    say("Making databases …")
    made = [bench.provisioned(f"bench-{number}") for number in range(5)]
    database = bench.ask("answer = Database.objects.get(name='bench-0').database_name")
    say("Filling one …")
    url = bench.ask("answer = url_of(Database.objects.get(name='bench-0')).reveal()")
    bench.run("pgbench", "-i", "-q", "-s", str(scale), database=database, url=url)
    size = bench.ask(
        f"answer = admin().connect('{database}').execute('SELECT pg_database_size(current_database())').fetchone()[0]"
    )
    memory = Memory(worker_of(instance))
    bare_dump, same_dump, dump, bare_restore, restore, tried = [], [], [], [], [], []
    same: list[bool] = []
    own = instance.data_dir / "bare.dump"

    def by_hand() -> None:
        bench.run("psql", "-c", "CREATE DATABASE bare TEMPLATE template0")
        bench.run("psql", "-c", "CHECKPOINT")
        options = ("--no-owner", "-d", "bare", str(_newest(bench)))
        bare_restore.append(bench.run("pg_restore", *options, database="bare"))
        same.append(bench.checksums(database) == bench.checksums("bare"))
        # Both find the server with as much in it: what is dropped frees memory that the next one takes.
        bench.run("psql", "-c", "DROP DATABASE bare")

    def by_bakery() -> None:
        bench.run("psql", "-c", "CHECKPOINT")
        instance.manage("database", "test-restore", "bench-0", timeout=1800)
        tried.append(bench.taken("Task.objects.filter(kind='test-restore')"))
        restore.append(bench.phase("restore"))

    with memory.watched():
        for number in range(rounds):
            say(f"Round {number + 1} of {rounds} …")
            own.unlink(missing_ok=True)
            bare_dump.append(bench.run("pg_dump", "-Fc", "-f", str(own), database=database))
            own.unlink()
            same_dump.append(bench.run("pg_dump", "-Fc", f"-Z{COMPRESSION}", "-f", str(own), database=database))
            instance.manage("database", "backup", "bench-0", timeout=1800)
            dump.append(bench.taken("Task.objects.filter(kind='back-up')"))
            # What the first of them wrote is still being written out while the second one runs.
            for one in (by_hand, by_bakery) if number % 2 == 0 else (by_bakery, by_hand):
                one()
    file = _newest(bench).stat().st_size
    print(f"PostgreSQL {bench._major()}, a database of {size / MIB:.0f} MiB; medians of {rounds} rounds\n")
    rows = [("", "bare", "Bakery", "Bakery's share of bare throughput")]
    rows.append(("make a database", "", f"{median(made):.2f} s", ""))
    for name, bare, ours in (
        ("back up", bare_dump, dump),
        ("back up, bare with the same compression", same_dump, dump),
        ("restore", bare_restore, restore),
        ("a whole restore test", bare_restore, tried),
    ):
        share = median(bare) / median(ours)
        rows.append((name, f"{median(bare):.1f} s", f"{median(ours):.1f} s", f"{share:.2f}"))
    rows.append(("file", f"{own.stat().st_size / MIB:.1f} MiB", f"{file / MIB:.1f} MiB", ""))
    print(table(rows))
    print(f"\nRows of a restored backup, by checksums: {'the same' if all(same) else 'DIFFERENT'}")
    print(
        f"Memory of the worker: {memory.before:.0f} MiB before, {memory.most:.0f} MiB at most (PSS); "
        f"{memory.most_rss:.0f} MiB at most of RSS, what it shares with others included"
    )


def _newest(bench: Bench) -> Path:
    name = bench.ask("answer = Backup.objects.good().first().file")
    return bench.instance.data_dir / "backups" / str(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=67)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with running_instance() as instance:
        measure(instance, options.scale, options.rounds)


if __name__ == "__main__":
    main()
