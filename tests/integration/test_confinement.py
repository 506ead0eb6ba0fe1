"""What a confined program can and cannot do, tried with real processes on this host."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from infrastructure import cgroups
from infrastructure.confinement import Confinement, confinement_for, uid_for
from infrastructure.errors import Cancelled
from infrastructure.runner import Command, CommandFailed, Runner, TimedOut

pytestmark = pytest.mark.slow

PYTHON = "/usr/bin/python3"
NUMBER = 900_000 + os.getpid() % 1000  # a deployment that nobody else on this host has
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its uid")


@pytest.fixture(scope="module")
def limited() -> None:
    if not cgroups.create("bakery-test-probe", 64 << 20, 100, 16):
        pytest.skip("this host lets us make no control group")
    cgroups.remove("bakery-test-probe")


def confine(**limits: int) -> Confinement:
    return confinement_for(NUMBER, f"bakery-test-{NUMBER}", **limits)


def run(code: str, confinement: Confinement, **more: object) -> str:
    command = Command(argv=(PYTHON, "-c", code), confine=confinement, **{"timeout": 120, **more})  # type: ignore[arg-type]
    return Runner().run(command).output


def test_it_gets_exactly_the_environment_that_it_was_given() -> None:
    odd = {
        "A": "two\nlines",
        "B": "50% of $HOME {x}",
        "C": "\"quotes' and \\",
        "D": "",
        "E": "ünïcödé 🍞",
        "F": " pad ",
    }
    seen = json.loads(run("import os, json; print(json.dumps(dict(os.environ)))", confine(), env=odd))
    for name, value in odd.items():
        assert seen[name] == value
    assert set(seen) - set(odd) <= {"PATH", "LANG", "HOME", "LC_CTYPE"}


@as_root
def test_it_runs_under_a_uid_of_its_own_without_groups_or_a_way_back() -> None:
    code = (
        "import os\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('NoNewPrivs')))\n"
        "try: os.setuid(0)\nexcept PermissionError: print('refused')"
    )
    uid = uid_for(NUMBER)
    lines = run(code, confine()).splitlines()
    assert lines == [f"{(uid,) * 3} {(uid,) * 3} []", "1", "refused"]


@as_root
def test_it_cannot_read_a_file_of_bakerys(tmp_path: Path) -> None:
    secret = tmp_path / "bakery.env"
    secret.write_text("ENCRYPTION_KEY=x")
    secret.chmod(0o600)
    with pytest.raises(CommandFailed) as caught:
        run(f"print(open({str(secret)!r}).read())", confine())
    assert "ENCRYPTION_KEY" not in caught.value.result.output


@as_root
def test_it_reaches_its_own_directory_below_a_closed_one_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    closed = tmp_path / "closed"
    own = closed / "builds" / "own"
    own.mkdir(parents=True)
    (closed / "builds" / "beside").mkdir()
    os.chown(own, uid_for(NUMBER) or 0, 0)
    closed.chmod(0o700)
    plan = confinement_for(NUMBER, "bakery-test-reach", reach=(str(own),))
    code = f"import os; open('made', 'w').write('x'); print(os.getcwd(), os.listdir({str(closed / 'builds')!r}))"
    try:
        assert run(code, plan, cwd=own).strip() == f"{own} ['own']"
    except CommandFailed as failure:
        if "allows no mount namespace" in failure.result.output:
            pytest.skip("this host allows no mount namespace")
        raise
    assert (own / "made").read_text() == "x"
    assert (own / "made").stat().st_uid == uid_for(NUMBER)


def test_one_that_takes_too_much_memory_is_ended_and_it_is_said_why(
    limited: None,
) -> None:
    code = "b = []\nwhile True: b.append(bytearray(4 << 20))"
    with pytest.raises(CommandFailed) as caught:
        run(code, confine(memory_bytes=64 << 20))
    assert caught.value.result.out_of_memory
    assert "ran out of memory" in caught.value.message


def test_a_fork_bomb_meets_its_limit_and_is_gone_afterwards(limited: None) -> None:
    code = (
        "import os, time\nn = 0\n"
        "while True:\n"
        "    try: pid = os.fork()\n"
        "    except BlockingIOError: print('limit at', n, flush=True); break\n"
        "    if pid == 0: os.setsid(); time.sleep(600)\n"
        "    n += 1\n"
    )
    output = run(code, confine(max_processes=40))
    assert output.strip() == "limit at 39"
    assert not cgroups.exists(f"bakery-test-{NUMBER}")


def test_what_a_command_leaves_running_is_ended_with_it(limited: None, tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n    time.sleep(600)\n"
        "else: print('done', flush=True); os._exit(0)"
    )
    assert run(code, confine()).strip() == "done"  # in time: the straggler's 600 s are not waited for
    assert not cgroups.processes(f"bakery-test-{NUMBER}")


def test_what_it_leaves_talking_holds_nobody(limited: None) -> None:
    code = (
        "import os, time\n"
        "talks, begins = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    while True: print('and another thing', flush=True); os.write(begins, b'.'); time.sleep(0.01)\n"
        "os.read(talks, 1)\n"  # it does talk: then the command ends
        "os._exit(0)"
    )
    assert "another" in run(code, confine(), timeout=60)
    assert not cgroups.processes(f"bakery-test-{NUMBER}")


def test_a_timeout_ends_even_what_ignores_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infrastructure.runner.GRACE_SECONDS", 0.3)
    code = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
    with pytest.raises(TimedOut):
        run(code, confine(), timeout=0.7)
    assert not cgroups.processes(f"bakery-test-{NUMBER}")


def test_a_cancel_ends_it() -> None:
    command = Command(
        argv=(PYTHON, "-c", "import time; time.sleep(600)"),
        confine=confine(),
        timeout=60,
    )
    deadline = time.monotonic() + 0.5
    with pytest.raises(Cancelled):
        Runner(cancelled=lambda: time.monotonic() > deadline).run(command)


def test_a_program_that_is_not_there_says_so_with_code_127() -> None:
    with pytest.raises(CommandFailed) as caught:
        Runner().run(Command(argv=("no-such-program",), confine=confine()))
    assert caught.value.result.exit_code == 127
    assert "no-such-program was not found" in caught.value.result.output


def test_a_persistent_directory_begins_with_what_the_repository_has_there(
    tmp_path: Path,
) -> None:
    inside, outside = tmp_path / "app" / "data", tmp_path / "kept" / "data"
    inside.mkdir(parents=True)
    outside.parent.mkdir()
    (inside / "seed.txt").write_text("seed")
    for directory in (inside, inside.parent, outside.parent, inside / "seed.txt"):
        os.chown(directory, uid_for(NUMBER) or -1, -1)
    plan = confinement_for(NUMBER, "bakery-test-links", reach=(str(inside.parent), str(outside.parent)))
    for _ in range(2):  # the second start finds all of it done
        command = Command(
            argv=(PYTHON, "-c", "open('data/new', 'a').write('x')"),
            cwd=inside.parent,
            confine=plan,
            links={str(inside): str(outside)},
        )
        Runner().run(command)
    assert inside.is_symlink()
    assert (outside / "seed.txt").read_text() == "seed"
    assert (outside / "new").read_text() == "xx"
