"""What goes through Bakery's hands between a program and a file: all of it, in order, at the pace of the slower one."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator

import pytest

from infrastructure.errors import Cancelled, HostProblem
from infrastructure.runner import STREAMED_BYTES, Command, CommandFailed, Runner

MIB = 1024 * 1024
WRITER = "import os, sys\nfor n in range({}): os.write(1, bytes([n % 256]) * 1048576)\nsys.exit({})"


def python(code: str) -> Command:
    return Command((sys.executable, "-c", code), merge_stderr=False)


def test_all_of_the_output_arrives_though_the_reader_is_slower_than_the_program() -> None:
    arrived, largest = hashlib.sha256(), [0]

    def take(data: bytes) -> None:
        if not largest[0]:
            time.sleep(0.5)  # by the end of it the program has ended, or waits
        largest[0] = max(largest[0], len(data))
        arrived.update(data)

    result = Runner().run(python(WRITER.format(12, 0)), into=take)
    assert result.exit_code == 0
    assert largest[0] <= STREAMED_BYTES
    assert arrived.hexdigest() == hashlib.sha256(b"".join(bytes([n]) * MIB for n in range(12))).hexdigest()


def test_what_is_still_in_the_pipe_when_the_program_has_ended_is_not_lost() -> None:
    pieces: list[bytes] = []

    def take(data: bytes) -> None:
        time.sleep(0.4)
        pieces.append(data)

    Runner().run(python("import os\nfor _ in range(6): os.write(1, b'x' * 65536)"), into=take)
    assert len(b"".join(pieces)) == 6 * 65536


def test_what_the_reader_raises_ends_the_program() -> None:
    def full(data: bytes) -> None:
        raise HostProblem("disk.full", "It is full.")

    with pytest.raises(HostProblem, match="It is full"):  # and not its time limit
        Runner().run(python("import os\nwhile True: os.write(1, b'x' * 65536)"), into=full)


def test_standard_error_is_apart_and_is_what_a_failure_says() -> None:
    pieces: list[bytes] = []
    said: list[bytes] = []
    code = "import sys\nprint('data')\nprint('why it failed', file=sys.stderr)\nsys.exit(3)"
    with pytest.raises(CommandFailed, match="why it failed") as caught:
        Runner().run(python(code), said.append, into=pieces.append)
    assert caught.value.result.exit_code == 3
    assert (b"".join(pieces), b"".join(said)) == (b"data\n", b"why it failed\n")


def test_a_program_reads_what_it_is_given_while_it_writes() -> None:
    arrived = bytearray()
    source = (bytes([n]) * MIB for n in range(8))
    code = "import shutil, sys\nshutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    Runner().run(python(code), into=arrived.extend, source=source)
    assert bytes(arrived) == b"".join(bytes([n]) * MIB for n in range(8))


def test_a_program_may_read_only_the_beginning() -> None:
    source = (b"x" * MIB for _ in range(100))
    assert Runner().run(python("import sys\nprint(len(sys.stdin.buffer.read(10)))"), source=source).output == "10\n"


def test_what_the_source_raises_is_raised_and_not_what_the_program_makes_of_it() -> None:
    def damaged() -> Iterator[bytes]:
        yield b"begin"
        raise HostProblem("backup.damaged", "It is damaged.")

    with pytest.raises(HostProblem, match="It is damaged"):
        Runner().run(python("import sys\nsys.stdin.read()\nsys.exit(1)"), source=damaged())


def test_a_cancelled_one_ends_though_it_neither_reads_nor_writes() -> None:
    source = (b"x" * MIB for _ in range(100))
    command = python("import time\ntime.sleep(300)")
    with pytest.raises(Cancelled):
        Runner(cancelled=lambda: True).run(command, into=lambda data: None, source=source)
