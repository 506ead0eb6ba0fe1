"""The only module that starts programs. Everything else returns a ``Command`` and hands it in here.

No shell is involved: a ``Command`` is an argv with an environment of its own (nothing is inherited but
``PATH``), a time limit, and, for what users wrote, a ``Confinement``. Each one ends with its whole
process group, is recorded (argv masked, exit code, times) and can be cancelled.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from infrastructure.confinement import Confinement, confined, ran_out_of_memory
from infrastructure.errors import Cancelled, HostProblem, Problem
from infrastructure.process_groups import group_is_alive
from infrastructure.secret import Masker, Secret

TAIL_BYTES = 64 * 1024  # how much of a command's output is kept for its caller; all of it goes to ``on_output``
SAFE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STREAMED_BYTES = 1024 * 1024  # what is read at once of an output that goes somewhere else
LogSink = Callable[[bytes], None]  # raw bytes of output, as they come
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL of a command that is ended early


@dataclass(frozen=True)
class Command:
    """What to run, as a value: tests assert on it without running anything."""

    argv: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str | Secret] = field(default_factory=dict)
    stdin: bytes | Secret | None = None
    timeout: float = 60.0  # seconds
    confine: Confinement | None = None  # required for everything that a user wrote
    links: Mapping[str, str] = field(default_factory=dict)  # of a confined command: path -> directory that it becomes
    watch: Callable[[], None] | None = None  # called about every 0.2 s; what it raises ends the command
    merge_stderr: bool = True  # False: stderr goes to ``on_output`` and the error text alone, stdout stays parseable

    def environment(self) -> dict[str, str]:
        plain = {"PATH": SAFE_PATH, "LANG": "C.UTF-8", "HOME": "/nonexistent"}
        plain.update({k: v.reveal() if isinstance(v, Secret) else v for k, v in self.env.items()})
        return plain


@dataclass(frozen=True)
class Result:
    exit_code: int  # negative: ended by that signal
    output: str  # the last TAIL_BYTES of stdout (and stderr, where merged), decoded, not masked
    seconds: float
    out_of_memory: bool = False  # the kernel ended a part of it, because its memory limit was reached


class Recorder(Protocol):
    """Where the commands of a job are written down."""

    def started(self, argv: list[str]) -> object: ...

    def ended(self, handle: object, exit_code: int | None, note: str) -> None: ...


class NoRecorder:
    def started(self, argv: list[str]) -> object:
        return None

    def ended(self, handle: object, exit_code: int | None, note: str) -> None:
        return None


class CommandFailed(Problem):
    """A command ended with a code that its caller did not expect."""

    def __init__(self, argv: list[str], result: Result) -> None:
        how = f"signal {-result.exit_code}" if result.exit_code < 0 else f"exit code {result.exit_code}"
        last = result.output.strip().splitlines()[-1:] or ["no output"]
        why, hint = f"{how}: {last[0][:500]}", ""
        if result.out_of_memory:
            why, hint = (
                f"{how}, as it ran out of memory.",
                "Raise the memory limit in the settings, or make it need less.",
            )
        super().__init__("command.failed", f"{Path(argv[0]).name} ended with {why}", hint)
        self.result = result


class TimedOut(Problem):
    def __init__(self, argv: list[str], seconds: float) -> None:
        super().__init__(
            "command.timed-out",
            f"{Path(argv[0]).name} was still running after {seconds:g} s and was ended.",
            "Raise the time limit in the settings, or find out in the log what it was waiting for.",
        )


class Runner:
    """Executes commands for one job.

    ``recorder`` writes each command down; ``masker`` hides secrets in what is recorded; ``cancelled`` is asked
    about every 0.2 s while a command runs (it may raise, e.g. ``LeaseLost``) and ends it when it says yes.
    """

    def __init__(
        self,
        recorder: Recorder | None = None,
        masker: Masker | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.recorder = recorder or NoRecorder()
        self.masker = masker or Masker()
        self.cancelled = cancelled

    def run(
        self,
        command: Command,
        on_output: LogSink | None = None,
        *,
        check: bool = True,
        into: LogSink | None = None,
        source: Iterable[bytes] | None = None,
    ) -> Result:
        """Run to the end and return the result; raise ``CommandFailed``, ``TimedOut``, ``Cancelled`` or
        ``HostProblem`` (``command.missing``). ``on_output`` gets raw bytes as they come.

        With ``into`` (and ``merge_stderr=False``) all of stdout goes there, in pieces of at most ``STREAMED_BYTES``,
        and the command waits while it is busy; none is kept. ``source`` is what the command reads. What either of the
        two raises ends the command, and is raised here.
        """
        argv = list(command.argv)
        handle = self.recorder.started([self.masker.mask(part) for part in argv])
        started = time.monotonic()
        code: int | None = None
        note = ""
        try:
            with self._plan(command) as (real_argv, env):
                result = self._execute(command, real_argv, env, on_output, started, into, source)
                if command.confine and ran_out_of_memory(command.confine):
                    result = replace(result, out_of_memory=True)
            code = result.exit_code
            if check and code != 0:
                raise CommandFailed(argv, result)
            return result
        except FileNotFoundError as error:
            note = f"not found: {error.filename}"
            if error.filename == str(command.cwd):
                raise HostProblem(
                    "command.no-directory",
                    f"The directory {command.cwd} is no longer there.",
                    "Deploy again.",
                ) from error
            raise HostProblem(
                "command.missing",
                f"The program {argv[0]} is not on this host.",
                "Run manage.py doctor to see what is missing.",
            ) from error
        except (CommandFailed, TimedOut, Cancelled) as error:
            note = type(error).__name__
            raise
        except Problem as problem:  # of its watch
            note = problem.id
            raise
        finally:
            self.recorder.ended(handle, code, note)

    @staticmethod
    def _plan(
        command: Command,
    ) -> AbstractContextManager[tuple[list[str], dict[str, str]]]:
        return confined(
            command.confine,
            list(command.argv),
            command.environment(),
            command.cwd,
            command.links,
            command.timeout,
        )

    def _execute(
        self,
        command: Command,
        argv: list[str],
        env: dict[str, str],
        on_output: LogSink | None,
        started: float,
        into: LogSink | None,
        source: Iterable[bytes] | None,
    ) -> Result:
        process = subprocess.Popen(  # noqa: S603 - an argv list, from a plan
            argv,
            cwd=command.cwd,
            env=env,
            stdin=subprocess.PIPE if command.stdin is not None or source is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if command.merge_stderr else subprocess.PIPE,
            start_new_session=True,
        )
        tail = _Tail(TAIL_BYTES) if into is None else _Through(into)
        stderr_tail = _Tail(TAIL_BYTES)
        if into and process.stdout:
            with suppress(OSError):  # the host may allow less for a pipe
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, STREAMED_BYTES)
        feeder = None if source is None else _Feeder(process, source)
        try:
            self._feed(process, command.stdin)
            self._pump(process, command, tail, stderr_tail, on_output, started)
            code = process.wait()
        finally:
            _end_group(process)
            if feeder:
                feeder.join()
            for stream in (process.stdout, process.stderr, process.stdin):
                if stream:
                    stream.close()
        if feeder and feeder.failure:
            raise feeder.failure
        text = tail.text() if command.merge_stderr or code == 0 else stderr_tail.text() or tail.text()
        return Result(code, text, time.monotonic() - started)

    @staticmethod
    def _feed(process: subprocess.Popen[bytes], stdin: bytes | Secret | None) -> None:
        if stdin is None or process.stdin is None:
            return
        try:
            process.stdin.write(stdin.reveal().encode() if isinstance(stdin, Secret) else stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended without reading; its exit code says why

    def _pump(
        self,
        process: subprocess.Popen[bytes],
        command: Command,
        tail: _Tail | _Through,
        stderr_tail: _Tail,
        on_output: LogSink | None,
        started: float,
    ) -> None:
        """Read until the process has ended; a grandchild that keeps the pipe open does not hold us. What goes
        elsewhere is read to its end: there may be more of it in the pipe than is written in a moment."""
        ended = 0.0
        with selectors.DefaultSelector() as selector:
            for stream, kept in ((process.stdout, tail), (process.stderr, stderr_tail)):
                if stream:
                    selector.register(stream, selectors.EVENT_READ, kept)
            while selector.get_map():
                self._look(command, started)
                events = selector.select(0.2)
                for key, _ in events:
                    data = os.read(key.fd, key.data.at_once)
                    if not data:
                        selector.unregister(key.fileobj)
                        continue
                    key.data.add(data)
                    if on_output and (command.merge_stderr or key.data is stderr_tail):
                        on_output(data)
                if process.poll() is not None and isinstance(tail, _Tail):
                    ended = ended or time.monotonic()
                    if not events or time.monotonic() - ended > 1.0:  # what it left behind may talk for ever
                        return
            while process.poll() is None:  # closed its output, still running
                self._look(command, started)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)

    def _look(self, command: Command, started: float) -> None:
        """Raises what ends the command early."""
        if self.cancelled():
            raise Cancelled
        if time.monotonic() - started > command.timeout:
            raise TimedOut(list(command.argv), command.timeout)
        if command.watch:
            command.watch()


class _Tail:
    """The last ``limit`` bytes of a stream."""

    at_once = 65536

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.data = bytearray()

    def add(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > 2 * self.limit:
            del self.data[: -self.limit]

    def text(self) -> str:
        return bytes(self.data[-self.limit :]).decode("utf-8", "replace")


class _Through:
    """A stream that goes somewhere else as it comes."""

    at_once = STREAMED_BYTES

    def __init__(self, into: LogSink) -> None:
        self.add = into

    @staticmethod
    def text() -> str:
        return ""


class _Feeder(threading.Thread):
    """Gives a command what it reads, beside what it says."""

    def __init__(self, process: subprocess.Popen[bytes], source: Iterable[bytes]) -> None:
        super().__init__(name="feeder", daemon=True)
        self._process = process
        self._source = source
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            for piece in self._source:
                stdin.write(piece)
        except BrokenPipeError:
            pass  # it has read what it wanted
        except Exception as error:  # noqa: BLE001 - raised where the command was asked for
            self.failure = error
        finally:
            with suppress(BrokenPipeError):
                stdin.close()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of the command's own process group: SIGTERM, grace, SIGKILL."""
    for sig, wait in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 1.0)):
        try:
            os.killpg(process.pid, sig)
        except (ProcessLookupError, PermissionError):
            break
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            process.poll()
            if not group_is_alive(process.pid):
                break
            time.sleep(0.02)
    process.poll()
