"""The collector as its own process, killed and started again while applications write."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from django.db import connection

from deployments.logs.collector import Collector
from deployments.logs.store import open_stream
from deployments.models import LogStream, Release, Runtime, Slot, StreamKind
from infrastructure.runtime import Observation, ProcessState
from infrastructure.secret import MASK
from tests.integration.log_makers import make_release, make_slot, text_of
from tests.integration.waiting import until
from tests.integration.web_process import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        argv = [sys.executable, "manage.py", "collect_logs"]
        started.append(subprocess.Popen(argv, cwd=ROOT, env=environment(tmp_path)))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


class App:
    """Writes numbered lines as an app under supervisord does, and rotates now and then."""

    def __init__(self, directory: Path, secret: str = "") -> None:
        self.release = make_release(secret)
        Release.objects.filter(pk=self.release.pk).update(runtime=Runtime.BUN)
        self.slot = make_slot(self.release)
        self.path = directory / "logs" / "processes" / f"release-{self.release.pk}.log"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.written = 0

    @property
    def stream(self) -> LogStream:
        return open_stream(self.release, StreamKind.PROCESS)

    def write(self, count: int) -> None:
        with self.path.open("ab") as file:
            for _ in range(count):
                file.write(f"{self.written} says the application\n".encode())
                self.written += 1

    def rotate(self) -> None:
        first, second = self.path.with_name(f"{self.path.name}.1"), self.path.with_name(f"{self.path.name}.2")
        if first.exists():
            first.replace(second)
        self.path.replace(first)
        self.path.touch()

    def everything(self) -> str:
        return "".join(f"{number} says the application\n" for number in range(self.written))


def test_kill_9_of_the_collector_loses_and_doubles_no_line(
    tmp_path: Path, collector: Callable[[], subprocess.Popen[bytes]]
) -> None:
    app = App(tmp_path)
    process = collector()
    for round_number in range(5):
        before = app.stream.line_count
        until(lambda: (app.write(200), app.stream.line_count > before)[1])  # noqa: B023 - called at once
        if round_number % 2:
            app.rotate()
        deadline = time.monotonic() + random.uniform(0.0, 0.2)
        while time.monotonic() < deadline:
            app.write(100)
            time.sleep(0.001)  # far below the 64 MiB that a stream keeps, also on a quick machine
        process.send_signal(signal.SIGKILL)
        process.wait()
        app.write(300)
        process = collector()
    until(lambda: app.stream.line_count >= app.written)
    is_whole = text_of(app.stream) == app.everything()  # a difference would be printed as megabytes
    assert is_whole


def test_an_app_that_says_100_000_lines_at_once_loses_none_and_starves_nobody(
    tmp_path: Path, collector: Callable[[], subprocess.Popen[bytes]]
) -> None:
    loud, quiet = App(tmp_path), App(tmp_path)
    quiet.write(1)
    process = collector()
    until(lambda: quiet.stream.line_count == 1)
    loud.write(100_000)
    until(lambda: loud.stream.line_count > 0)
    quiet.write(1)
    until(lambda: quiet.stream.line_count == 2)
    until(lambda: loud.stream.line_count == 100_000, timeout=60)
    is_whole = text_of(loud.stream) == loud.everything()
    assert is_whole
    assert text_of(quiet.stream) == quiet.everything()
    print(f"collector: {psutil.Process(process.pid).memory_full_info().pss / 2**20:.0f} MiB")


def test_the_values_of_the_environment_are_masked(
    tmp_path: Path, collector: Callable[[], subprocess.Popen[bytes]]
) -> None:
    app = App(tmp_path, secret="tr0ub4dor-and-3")
    app.path.write_text("my key is tr0ub4dor-and-3\n")
    collector()
    until(lambda: app.stream.line_count == 1)
    assert text_of(app.stream) == f"my key is {MASK}\n"


def test_the_collector_says_what_it_sees_and_ends_the_log_of_a_process_that_is_gone(tmp_path: Path) -> None:
    app = App(tmp_path)
    app.path.write_bytes(b"hello\nno newline at the e")
    seen = Observation(ProcessState.RUNNING, release_id=app.release.pk)

    def observe(slot: Slot) -> Observation:
        return seen

    with InThread(Collector(app.path.parent, observe, lambda: None)):
        until(lambda: Slot.objects.get(pk=app.slot.pk).observed_state == "running")
        until(lambda: text_of(app.stream) == "hello\n")
        assert app.stream.ended_at is None
        with app.path.open("ab") as file:
            file.write(b"nd")
        seen = Observation(ProcessState.EXITED, release_id=app.release.pk, exit_code=1)
        until(lambda: app.stream.ended_at is not None)
        assert text_of(app.stream) == "hello\nno newline at the end\n"
        assert Slot.objects.get(pk=app.slot.pk).observed_state == "exited"

        app.path.open("ab").write(b"\nagain\n")
        seen = Observation(ProcessState.RUNNING, release_id=app.release.pk)
        until(lambda: text_of(app.stream).endswith("again\n") and app.stream.ended_at is None)


class InThread:
    """A collector in a thread of the test, so that the test decides what is observed."""

    def __init__(self, collector: Collector) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(collector,))

    def _run(self, collector: Collector) -> None:
        try:
            collector.run(self.stop)
        finally:
            connection.close()

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(60)
