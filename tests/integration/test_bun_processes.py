"""How a Bun release runs, for real: this host's Bun and control groups, and a supervisord of the tests' own."""

from __future__ import annotations

import os
import socket

import pytest

from infrastructure import cgroups
from infrastructure.process_groups import group_is_alive
from infrastructure.runner import CommandFailed, Runner
from infrastructure.runtime import Limits, ProcessState
from infrastructure.secret import Secret
from tests.integration.bun_house import NEEDS_BUN, NUMBER, SERVER, House, ask, house, supervisord
from tests.integration.waiting import until
from tests.plan import free_port

__all__ = ["house", "supervisord"]
pytestmark = [pytest.mark.slow, NEEDS_BUN]


def test_it_is_built_started_answers_and_stops(house: House) -> None:
    artifact = house.serving(7)
    seen = house.start(artifact)
    assert seen["PORT"] == str(house.port)
    assert seen["NODE_ENV"] == "production"
    observation = until(lambda: (o := house.observe()).state == ProcessState.RUNNING and o)
    assert (observation.release_id, observation.restarts, observation.out_of_memory) == (7, 0, False)
    until(lambda: f"listening on {house.port}" in house.runtime.last_output(NUMBER, "blue"))  # by way of supervisord
    log = house.data / "logs" / "processes" / "release-7.log"
    assert "listening" in log.read_text()
    house.runtime.stop(NUMBER, "blue", 5)
    house.runtime.stop(NUMBER, "blue", 5)
    assert house.observe().state == ProcessState.MISSING
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", house.port)) != 0
    assert list((house.data / "supervisor" / "launch").iterdir()) == []


def test_every_value_arrives_as_it_was_typed_and_none_of_bakerys(house: House) -> None:
    values = {
        "LINES": "one\ntwo\r\n", "QUOTES": "a 'b' \"c\" `d`", "DOLLAR": "$HOME ${PATH} $(id)",
        "PERCENT": "100%(x)s %% %s",
        "BRACES": "{x} {{y}}", "UNICODE": "crème brûlée 🍮", "BACK": "\\n \\", "LONG": "x" * 100_000,
        "EMPTY": "", "HASH": "a;#b",
    }  # fmt: skip
    seen = house.start(house.serving(), env={name: Secret(value) for name, value in values.items()})
    assert {name: seen[name] for name in values} == values
    assert "BAKERYS_OWN" not in seen
    ini = next(house.supervisord.conf_d.glob("*.ini"))
    assert "crème" not in ini.read_text()
    spec = house.data / "supervisor" / "launch" / f"{ini.stem}.json"
    assert spec.stat().st_mode & 0o777 == 0o600


def test_one_that_fills_its_memory_is_seen_to_have_run_out_of_it(house: House) -> None:
    if not cgroups.create("bakery-test-probe", 64 << 20, 100, 16):
        pytest.skip("this host lets us make no control group")
    cgroups.remove("bakery-test-probe")
    hog = "const kept = []; setInterval(() => kept.push(new Uint8Array(16 << 20).fill(1)), 10);"
    artifact = house.serving(server=hog, **{"server.ts": SERVER + hog})
    house.runtime.start(house.app(artifact, limits=Limits(200, 100, 64)), Runner())
    assert until(lambda: house.observe().out_of_memory)
    assert until(lambda: house.observe().restarts > 0)


def test_one_that_ignores_sigterm_is_killed_after_its_grace(house: House) -> None:
    stubborn = SERVER + 'process.on("SIGTERM", () => console.log("no"));'
    house.start(house.serving(**{"server.ts": stubborn}), grace_seconds=3)
    pid = house.runtime.processes._info(f"bakery-deployment-{NUMBER}-blue")["pid"]  # type: ignore[attr-defined]
    house.runtime.stop(NUMBER, "blue", 3)
    assert "no" in (house.data / "logs" / "processes" / "release-1.log").read_text()
    assert not group_is_alive(pid)


def test_one_that_finishes_its_work_on_sigterm_has_its_grace(house: House) -> None:
    polite = (
        SERVER + 'process.on("SIGTERM", () => setTimeout(() => { console.log("finished"); process.exit(0); }, 700));'
    )
    house.start(house.serving(**{"server.ts": polite}))
    house.runtime.stop(NUMBER, "blue", 10)
    assert "finished" in (house.data / "logs" / "processes" / "release-1.log").read_text()


def test_one_that_ends_at_once_is_seen_to_have_ended(house: House) -> None:
    artifact = house.serving(**{"server.ts": "console.log('broken'); process.exit(3);"})
    house.runtime.start(house.app(artifact), Runner())
    seen = until(lambda: (o := house.observe()).restarts > 0 and o)
    assert seen.exit_code == 3
    assert "broken" in house.runtime.last_output(NUMBER, "blue")
    assert until(lambda: house.observe().state == ProcessState.EXITED)


def test_a_crash_later_on_is_followed_by_a_restart(house: House) -> None:
    house.start(house.serving())
    first = house.observe()
    os.kill(house.runtime.processes._info(f"bakery-deployment-{NUMBER}-blue")["pid"], 9)  # type: ignore[attr-defined]
    again = until(lambda: (o := house.observe()).restarts == 1 and o)
    assert again.started_at != first.started_at
    assert ask(house.port)


def test_a_new_release_takes_the_slot_of_the_old_one(house: House) -> None:
    house.start(house.serving(1), env={"V": Secret("1")})
    assert house.start(house.serving(2), env={"V": Secret("2")})["V"] == "2"
    assert house.observe().release_id == 2


def test_what_runs_comes_back_with_supervisord_and_what_was_stopped_does_not(house: House) -> None:
    artifact = house.serving()
    house.start(artifact)
    other = free_port()
    house.runtime.start(house.app(artifact, slot="green", port=other), Runner())
    ask(other)
    house.runtime.stop(NUMBER, "green", 5)
    house.supervisord.stop()
    house.supervisord.start()
    assert ask(house.port)
    assert house.runtime.observe(NUMBER, "green").state == ProcessState.MISSING
    orphan = house.runtime.processes._info(f"bakery-deployment-{NUMBER}-blue")["pid"]  # type: ignore[attr-defined]
    house.supervisord.kill()  # its programs live on, and hold their ports
    house.supervisord.start()
    assert until(lambda: not group_is_alive(orphan))
    assert until(lambda: house.observe().state == ProcessState.RUNNING)
    assert ask(house.port)


def test_a_persistent_directory_outlives_the_release(house: House) -> None:
    counting = SERVER.replace("Response.json(process.env)", "Response.json({ n: String(count()) })") + (
        'const fs = require("fs");\n'
        'const count = () => (fs.appendFileSync("data/visits", "x"), fs.readFileSync("data/visits", "utf8").length);'
    )
    persistent = {"data": house.data / "persistent" / str(NUMBER) / "data"}
    files = {"server.ts": counting, "data/visits": "xxx"}
    assert house.start(house.serving(1, **files), persistent=persistent)["n"] == "4"
    assert house.start(house.serving(2, **files), persistent=persistent)["n"] == "5"
    assert (persistent["data"] / "visits").read_text() == "xxxxx"


def test_a_command_before_the_switch_runs_with_the_releases_files_and_variables(house: House) -> None:
    artifact = house.serving()
    app = house.app(artifact, env={"DATABASE": Secret("db")})
    house.runtime.run_once(app, "echo $DATABASE $PORT > migrated && cat migrated", Runner(), house.hear)
    assert f"db {house.port}".encode() in house.log
    with pytest.raises(CommandFailed):
        house.runtime.run_once(app, "exit 4", Runner(), house.hear)
